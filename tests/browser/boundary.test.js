// The boundary between the classes, in the plane through three images.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, nextResult, screenshot, stage, visit } from './browser.js';

const SHORT = '#dataset=digits&preset=m-mnist&image=test:0&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05';

const site = stage();

test('the plane is drawn row by row, and its colors are what both classifiers say at the three images', async () => {
  const { page, context, complaints } = await visit(site.browser, site.server.address + SHORT, { reducedMotion: 'reduce' });
  const arena = new Arena(page);
  await arena.ready();
  assert.equal(await arena.riposte.locator('.boundary').count(), 0, 'nothing to draw before there is a neighbor');
  await arena.runAttack();
  const answered = nextResult(page);
  await arena.runRiposte();
  const { attacked, answer, natural, classes } = await answered;
  const boundary = arena.riposte.locator('.boundary');
  await boundary.getByRole('button', { name: 'Draw the boundary' }).click();
  await boundary.locator('.map').first().waitFor();
  await boundary.locator('.phase').filter({ hasText: 'At x\u2032' }).waitFor({ timeout: 120_000 });

  /** The color of a map under one of its marks, and that of a class in the legend. */
  const under = (map, mark) => boundary.locator('.map').nth(map).evaluate((map, mark) => {
    const spot = [...map.querySelectorAll('.spot')].find((spot) => spot.textContent === mark);
    const canvas = map.querySelector('canvas');
    const [left, bottom] = [spot.style.left, spot.style.bottom].map((share) => Number.parseFloat(share) / 100);
    const [column, row] = [Math.floor(left * canvas.width), canvas.height - 1 - Math.floor(bottom * canvas.height)];
    return [...canvas.getContext('2d').getImageData(column, row, 1, 1).data].slice(0, 3).join(', ');
  }, mark);
  const colorOf = (name) => boundary.locator('.legend li').evaluateAll((all, name) => {
    const entry = all.find((entry) => entry.textContent.trim() === name);
    return getComputedStyle(entry.querySelector('.swatch')).backgroundColor.replace(/rgb\(|\)/g, '');
  }, name);
  assert.equal(await under(0, 'x\u2032'), await colorOf(classes[attacked.class]));
  assert.equal(await under(1, 'x\u2032'), await colorOf(classes[answer.class]));
  assert.equal(await under(0, 'x'), await colorOf(classes[natural.class]));

  // The dot starts at x, and ends at x'.
  const places = () => boundary.locator('.map').first().locator('.spot').evaluateAll((spots) => Object.fromEntries(spots.map((spot) => [spot.textContent || 'dot', [spot.style.left, spot.style.bottom].map(Number.parseFloat)])));
  const near = ([a, b], [c, d]) => Math.hypot(a - c, b - d) < 0.5;
  let shown = await places();
  assert.ok(near(shown.dot, shown['x\u2032']));
  await boundary.locator('.scrubber input').focus();
  await page.keyboard.press('Home');
  await boundary.getByText('Step 0 of 10').waitFor();
  shown = await places();
  assert.ok(near(shown.dot, shown.x));
  await screenshot(page, 'boundary-desktop-light');

  await arena.riposte.getByRole('button', { name: 'Riposte with another seed' }).click();
  await boundary.locator('.map').first().waitFor({ state: 'detached' });
  assert.deepEqual(complaints, []);
  await context.close();
});
