// The whole site as one file, opened without a server, in the three engines: the same run has the same record as from a server.

import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Arena, nextResult, screenshot, stage, visit } from './browser.js';
import { firefox, start, webkit } from './engines.js';
import { JOURNEY, comparable } from './journey.js';

const HASH = '#dataset=digits&preset=m-mnist&image=test:3&seed=7&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05&counter-rounds=2&counter-steps=4&judges=2';
const ACTS = ['attack', 'riposte', 'counter'];
const FILE = pathToFileURL(process.env.RIPOSTE_SINGLE).href;

const site = stage();

/** The record of the three acts from a server, in Chromium. */
async function expected() {
  const { page, context } = await visit(site.browser, `${site.server.address}?device=cpu${HASH}`);
  const record = comparable(await page.evaluate(`(async (values) => {${JOURNEY}})(${JSON.stringify(ACTS)})`));
  await context.close();
  return record;
}

test('one file is the whole site in Chromium, without a server and without a network', { timeout: 300_000 }, async () => {
  const { size } = await stat(process.env.RIPOSTE_SINGLE);
  console.log(`${(size / 1e6).toFixed(1)} MB`);
  const asked = [];
  const { page, context, complaints } = await visit(site.browser, `${FILE}?device=cpu${HASH}`, {
    prepare: (context) => context.route('**', (route) => {
      const address = route.request().url();
      if (!/^(file|blob|data|carried):/.test(address)) asked.push(address);
      return route.continue();
    }),
  });
  const arena = new Arena(page);
  await arena.ready();
  const record = comparable(await page.evaluate(`(async (values) => {${JOURNEY}})(${JSON.stringify(ACTS)})`));
  assert.deepEqual(record, await expected());
  await arena.settled(arena.attack);
  await screenshot(page, 'single-file');
  // Its address holds the state, and its links lead nowhere else.
  await page.waitForFunction(() => /run=3/.test(location.hash));
  const links = await page.evaluate(() => [...document.querySelectorAll('a')].map((link) => link.getAttribute('href')));
  for (const link of links) assert.match(link, /^(#|https:)/);
  assert.doesNotMatch(await page.locator('body').innerText(), /web server/);
  assert.deepEqual([asked, complaints], [[], []]);
  await context.close();
});

test('one file opens with its case, whose pictures are in it, and attacks', async () => {
  const { page, context } = await visit(site.browser, `${FILE}?device=cpu`);
  const arena = new Arena(page);
  await arena.ready();
  const loaded = await arena.element.locator('.case-pictures img').evaluateAll((images) => images.map(({ naturalWidth }) => naturalWidth));
  assert.ok(loaded.length === 3 && loaded.every((width) => width > 0), `${loaded}`);
  const result = nextResult(page);
  await arena.runAttack();
  assert.equal((await result).dataset, 'digits');
  await context.close();
});

for (const [name, launch] of Object.entries({ Firefox: firefox, WebKit: webkit })) {
  test(`one file is the whole site in ${name}`, { timeout: 300_000 }, async (context) => {
    const browser = await start(context, launch);
    if (!browser) return;
    await browser.open(`${FILE}?device=cpu${HASH}`);
    assert.deepEqual(comparable(await browser.run(JOURNEY, ...ACTS)), await expected());
    assert.deepEqual(browser.complaints, []);
  });
}
