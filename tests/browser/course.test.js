// The page for teachers: what its form builds works as it says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, stage, visit } from './browser.js';

const site = stage();

test('what the form builds is a link, an element and a frame that begin as was chosen', async () => {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}course.html`);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const form = page.locator('#builder');
  await form.getByLabel('Images').selectOption('digits');
  await form.getByLabel('Test image').fill('5');
  await form.getByLabel('Strength').fill('0.2');
  await form.locator('[name=acts]').selectOption('12');
  await form.getByLabel('What can be changed').selectOption('run');
  const [link, element, frame] = await Promise.all(['link', 'element', 'frame'].map((what) => page.locator(`#built-${what}`).innerText()));
  assert.equal(link, `${site.server.address}?dataset=digits&image=test%3A5&epsilon=0.2&acts=12&controls=run`);
  assert.match(element, /<riposte-arena dataset="digits" image="test:5" epsilon="0\.2" acts="12" controls="run"><\/riposte-arena>$/);

  await page.getByRole('button', { name: 'Show it here' }).click();
  const tried = new Arena(page, '#tried riposte-arena');
  await tried.ready();
  assert.equal(await tried.counter.count(), 0, 'two acts');
  assert.equal(await tried.attack.locator('.setup').count(), 0, 'nothing to choose');

  // The attackers that the form names are those that the element has.
  const named = await form.locator('[name=counter] option').evaluateAll((options) => options.map(({ value }) => value).filter(Boolean));
  await form.locator('[name=acts]').selectOption('');
  await form.getByLabel('What can be changed').selectOption('');
  await page.getByRole('button', { name: 'Show it here' }).click();
  const offered = tried.counter.getByRole('combobox', { name: /^The attacker/ }).locator('option');
  await offered.first().waitFor({ state: 'attached' });
  const known = await offered.evaluateAll((options) => options.map(({ value }) => value));
  for (const name of named) assert.ok(known.includes(name), name);
  await form.locator('[name=acts]').selectOption('12');
  await form.getByLabel('What can be changed').selectOption('run');

  const copy = page.locator('.code').filter({ has: page.locator('#built-link') }).getByRole('button', { name: 'Copy' });
  await copy.click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), link);
  assert.deepEqual(complaints, []);

  await page.goto(link);
  const linked = new Arena(page);
  await linked.ready();
  assert.match(page.url(), /image=test%3A5&.*epsilon=0\.2/);
  await page.setContent(frame);
  const inside = page.frameLocator('iframe');
  await inside.getByRole('button', { name: 'Attack', exact: true }).and(inside.locator(':enabled')).waitFor({ timeout: 120_000 });
  await context.close();
});
