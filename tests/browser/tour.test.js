// The tour of the main page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, screenshot, stage, visit } from './browser.js';

const site = stage();

test('the tour is walked with the keyboard, each card over the part that it is about, and leaves no trace', async () => {
  const { page, context, complaints } = await visit(site.browser, site.server.address, { reducedMotion: 'reduce' });
  const arena = new Arena(page);
  await arena.ready();
  await page.getByRole('button', { name: 'Take the tour' }).focus();
  await page.keyboard.press('Enter');
  const card = page.getByRole('dialog');
  const seen = [];
  for (let place = 1; place <= 12; place += 1) {
    await card.getByText(`${place} of 12`).waitFor();
    assert.match(page.url(), new RegExp(`[?&]tour=${place}\\b`));
    seen.push(await card.getByRole('heading').innerText());
    const [spot, box] = await Promise.all([page.locator('.tour-spot').boundingBox(), card.boundingBox()]);
    assert.ok(spot.width > 40 && spot.height > 20, `card ${place} is over something`);
    assert.ok(box.y >= 0 && box.y + box.height <= 900, `card ${place} is in sight`);
    if (place === 4) await screenshot(page, 'tour-desktop-light');
    await page.keyboard.press('ArrowRight');
  }
  assert.equal(new Set(seen).size, 12);
  assert.equal(await card.count(), 0, 'after the last card it is over');
  assert.doesNotMatch(page.url(), /tour/);
  assert.match(page.url(), /image=test/, 'the state is still in the address');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'tour', 'the focus is back');
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a card has a link, and the tour can be left there', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}?tour=9`, { viewport: { width: 360, height: 740 }, reducedMotion: 'reduce' });
  const card = page.getByRole('dialog');
  await card.getByText('9 of 12').waitFor();
  const box = await card.boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= 360, 'it fits a phone');
  await screenshot(page, 'tour-phone-light');
  await card.getByRole('button', { name: 'Back' }).click();
  await card.getByText('8 of 12').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await card.count(), 0);
  assert.equal(await page.locator('.tour-spot').count(), 0);
  await context.close();
});
