// Twenty images at once.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Arena, screenshot, stage, visit } from './browser.js';

// Little training: what it leads to is checked natively.
const SHORT = '#dataset=digits&preset=m-mnist&image=test:0&post-iterations=12&post-batch-size=64&steps=8&step-size=0.08&search-steps=4&search-step-size=0.08';

const site = stage();

/** The 95 % Wilson interval in whole percent. */
function wilson(count, of) {
  if (of === 0) return '\u2013';
  const z = 1.959963984540054;
  const p = count / of;
  const center = (p + z * z / (2 * of)) / (1 + z * z / of);
  const half = z / (1 + z * z / of) * Math.sqrt(p * (1 - p) / of + z * z / (4 * of * of));
  return `${(100 * Math.max(0, center - half)).toFixed(0)} to ${(100 * Math.min(1, center + half)).toFixed(0)}\u202f%`;
}

async function open() {
  const visited = await visit(site.browser, site.server.address + SHORT, { reducedMotion: 'reduce' });
  const arena = new Arena(visited.page);
  await arena.ready();
  return { ...visited, arena, twenty: arena.element.locator('section.twenty') };
}

test('twenty images are attacked and defended, and the tally is that of the records', async () => {
  const { page, context, complaints, arena, twenty } = await open();
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await twenty.getByRole('button', { name: 'Attack and defend the next 20' }).click();
  // It fills while it runs.
  await twenty.locator('.phase').filter({ hasText: /[1-9] of 20 images are done/ }).waitFor();
  await twenty.locator('.phase').filter({ hasText: 'All 20 images are done' }).waitFor({ timeout: 180_000 });

  const download = page.waitForEvent('download');
  await twenty.getByRole('button', { name: 'Save records (JSON)' }).click();
  const saved = JSON.parse(await readFile(await (await download).path(), 'utf8'));
  assert.equal(saved.records.length, 20);
  assert.deepEqual(saved.records.map(({ input }) => input), Array.from({ length: 20 }, (_, place) => place + 1), 'those that follow the image under attack');
  assert.deepEqual([saved.dataset, saved.preset, saved.seed, saved.attack.steps, saved.riposte.iterations], ['digits', 'm-mnist', 0, 8, 12]);
  const { records } = saved;
  const fooled = records.filter(({ attacked, label }) => attacked !== label);
  const others = records.filter(({ attacked, label }) => attacked === label);
  const answered = (all) => all.filter(({ riposte_attacked: { answer }, label }) => answer === label).length;
  const counts = [
    [records.filter(({ natural, label }) => natural === label).length, 20],
    [fooled.length, 20],
    [answered(fooled), fooled.length],
    [others.length - answered(others), others.length],
    [others.length, 20],
    [answered(records), 20],
  ];
  const rows = await twenty.locator('.tally tbody tr').evaluateAll((all) => all.map((row) => [...row.cells].slice(1).map(({ textContent }) => textContent)));
  assert.deepEqual(rows, counts.map(([count, of]) => [`${count} of ${of}`, wilson(count, of)]));

  await twenty.getByRole('button', { name: 'Copy table' }).click();
  await twenty.getByText('The table was copied.').waitFor();
  const table = (await page.evaluate(() => navigator.clipboard.readText())).trim().split('\n').map((line) => line.split('\t'));
  assert.deepEqual(table[0], ['image', 'label', 'untouched', 'attacked', 'neighbor', 'answer', 'outcome']);
  assert.deepEqual(table.slice(1).map(([input, label]) => [Number(input), Number(label)]), records.map(({ input, label }) => [input, label]));

  await screenshot(page, 'twenty-desktop-light');
  const third = twenty.locator('.swept button').nth(2);
  assert.match(await third.getAttribute('aria-label'), /^\d, test image 3: (saved|not saved|not needed|no neighbor|spoiled)$/);
  await third.click();
  await page.waitForFunction(() => /image=test%3A3&/.test(location.hash));
  await arena.ready();
  assert.deepEqual(complaints, []);
  await context.close();
});

test('it stops when it is told to, goes on where it was, and other settings begin anew', async () => {
  const { page, context, arena, twenty } = await open();
  await twenty.getByRole('button', { name: 'Attack and defend the next 20' }).click();
  await twenty.locator('.phase').filter({ hasText: /[2-9] of 20 images are done/ }).waitFor();
  await twenty.getByRole('button', { name: 'Stop' }).click();
  const stopped = twenty.locator('.phase').filter({ hasText: /Stopped after \d+ images/ });
  await stopped.waitFor({ timeout: 10_000 });
  const words = await stopped.innerText();
  await page.waitForTimeout(1000);
  assert.equal(await stopped.innerText(), words, 'no duel after it stopped');
  await twenty.getByRole('button', { name: 'Go on' }).click();
  await twenty.locator('.phase').filter({ hasText: 'All 20 images are done' }).waitFor({ timeout: 180_000 });
  await twenty.getByRole('button', { name: 'Twenty more' }).click();
  await twenty.locator('.phase').filter({ hasText: 'All 40 images are done' }).waitFor({ timeout: 180_000 });
  assert.equal(await twenty.locator('.swept li').count(), 40);
  await arena.attack.getByLabel('Strength').fill('0.1');
  await twenty.getByRole('button', { name: 'Attack and defend the next 20' }).waitFor();
  assert.equal(await twenty.locator('.tally').count(), 0);
  await context.close();
});
