// The page in the three browser engines: the same run has the same record, digit by digit, where the page's own engine computes.

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Arena, stage, visit } from './browser.js';
import { firefox, start, webkit } from './engines.js';
import { BY_HAND, DRAW, FOLLOWED, JOURNEY, PRESS, UPLOAD, colorsOf, comparable } from './journey.js';
import { serve } from './server.js';

const HASH = '#dataset=digits&preset=m-mnist&image=test:3&seed=7&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05&counter-rounds=2&counter-steps=4&judges=2';

const site = stage();

async function journey(browser, address, acts) {
  await browser.open(address);
  return comparable(await browser.run(JOURNEY, ...acts));
}

/** The files that a browser has saved, once there are so many. */
async function saved(browser, count) {
  for (let tries = 0; tries < 200; tries += 1) {
    const names = (await readdir(browser.downloads)).filter((name) => /\.(png|json)$/.test(name));
    if (names.length >= count) return names.sort();
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`${count} files were to be saved, and there are ${await readdir(browser.downloads)}`);
}

/** An address of this machine that is no secure context: not the loopback. */
function plainAddress() {
  const all = Object.values(networkInterfaces()).flat().filter(({ family, internal }) => family === 'IPv4' && !internal);
  assert.ok(all.length > 0, 'this machine has an address beside the loopback');
  return all[0].address;
}

const ACTS = ['attack', 'riposte', 'counter'];

for (const [name, launch] of Object.entries({ Firefox: firefox, WebKit: webkit })) {
  test(`the three acts in ${name} have the record that they have in Chromium, their link leads there again, and all that is saved arrives`, { timeout: 300_000 }, async (context) => {
    const browser = await start(context, launch);
    if (!browser) return;
    const address = `${site.server.address}?device=cpu${HASH}`;
    const { page, context: ours } = await visit(site.browser, address);
    await new Arena(page).ready();
    const expected = comparable(await page.evaluate(`(async (values) => {${JOURNEY}})(${JSON.stringify(ACTS)})`));
    await ours.close();
    assert.deepEqual(await journey(browser, address, ACTS), expected);

    // Several downloads of one click: some engines keep only the last, unless they are spaced.
    const images = ['attacked', 'change', 'counter', 'neighbor', 'original'].map((image) => `riposte-${image}.png`);
    await browser.run(PRESS, 'Save images');
    assert.deepEqual(await saved(browser, images.length), images);
    await browser.run(PRESS, 'Save record (JSON)');
    assert.deepEqual(await saved(browser, images.length + 1), [...images, 'riposte-run.json'].sort());
    const { width, height, colors } = colorsOf(await readFile(join(browser.downloads, 'riposte-original.png')));
    assert.deepEqual([width, height], [28 * 16, 28 * 16]);
    const levels = expected.images.natural.values.map((value) => Math.round(255 * value));
    assert.deepEqual(levels.map((_, pixel) => colors[4 * (16 * Math.floor(pixel / 28) * width + 16 * (pixel % 28))]), levels);

    // A link leads to the same run.
    const link = await browser.run(`
      for (let tries = 0; !location.hash.includes('run=3') && tries < 400; tries += 1) await new Promise((done) => setTimeout(done, 25));
      return location.href;
    `);
    assert.match(link, /seed=7&.*step-size=0\.05.*run=3/);
    await browser.open('about:blank');
    await browser.open(link);
    assert.deepEqual(comparable(await browser.run(FOLLOWED, 3)), expected);

    // A frame on a page of someone else's tells its height.
    const other = await serve(process.env.RIPOSTE_SITE);
    context.after(() => other.close());
    other.state.instead.set('elsewhere.html', `<!doctype html><title>Elsewhere</title>
      <script>globalThis.told = []; addEventListener('message', ({ data }) => told.push(data));</script>
      <iframe title="Riposte" width="800" height="600" src="${site.server.address}embed.html?device=cpu&controls=run&acts=1${HASH}"></iframe>`);
    await browser.open(`${other.address.replace('localhost', '127.0.0.1')}elsewhere.html`);
    const tall = await browser.run(`
      for (let tries = 0; tries < 2_000; tries += 1) {
        const { height } = told.findLast(({ type }) => type === 'riposte:height') ?? {};
        if (height > 200) return height;
        await new Promise((done) => setTimeout(done, 25));
      }
      return JSON.stringify(told);
    `);
    assert.ok(tall > 200, `a height from the frame, not ${tall}`);

    // Plain http, from another machine's address, is no secure context, and has no clipboard.
    const host = plainAddress();
    const plain = await serve(process.env.RIPOSTE_SITE, { host, name: host });
    context.after(() => plain.close());
    await journey(browser, `${plain.address}?device=cpu${HASH}`, ['attack']);
    for (const [button, begins] of [['Copy link', /^http:.*seed=7/], ['Copy command', /^riposte duel .*--seed 7/]]) {
      await browser.run(PRESS, button);
      await new Promise((done) => setTimeout(done, 300));
      const { clipboard, words, text, selected } = await browser.run(BY_HAND);
      assert.deepEqual([clipboard, selected], ['undefined', text.length]);
      assert.match(text, begins);
      assert.match(words, /does not let the page write to the clipboard/);
    }
    assert.deepEqual(browser.complaints, []);
  });
}

test('where Firefox hides what a canvas shows, drawings and saved images are what they are, and an upload is refused in a sentence', { timeout: 120_000 }, async (context) => {
  const browser = await start(context, firefox, { 'privacy.resistFingerprinting': true });
  if (!browser) return;
  await browser.open(`${site.server.address}?device=cpu#dataset=digits&steps=3`);
  const noise = await browser.run(`
    const context = new OffscreenCanvas(8, 8).getContext('2d');
    const painted = new ImageData(Uint8ClampedArray.from({ length: 256 }, (_, place) => place % 4 === 3 ? 255 : place), 8);
    context.putImageData(painted, 0, 0);
    return context.getImageData(0, 0, 8, 8).data.some((value, place) => value !== painted.data[place]);
  `);
  assert.ok(noise, 'this Firefox hides it');
  assert.equal(await browser.run(DRAW), '7');

  const { images } = JSON.parse(await browser.run(JOURNEY, 'attack'));
  await browser.run(PRESS, 'Save images');
  await saved(browser, 3);
  const { width, colors } = colorsOf(await readFile(join(browser.downloads, 'riposte-original.png')));
  const levels = images.natural.values.map((value) => Math.round(255 * value));
  assert.deepEqual(levels.map((_, pixel) => colors[4 * (16 * Math.floor(pixel / 28) * width + 16 * (pixel % 28))]), levels);

  // A file can be read by way of a canvas alone: noise is not taken for a picture.
  const file = await readFile(join(browser.downloads, 'riposte-attacked.png'));
  const { trouble } = await browser.run(UPLOAD, 'seven.png', 'image/png', file.toString('base64'));
  assert.match(trouble, /noise .*seven\.png.* let this site read canvases/);
  assert.deepEqual(browser.complaints, []);
});

test('the kernels on WebGPU in Firefox agree with float64', { timeout: 600_000 }, async (context) => {
  const browser = await start(context, firefox, { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true });
  if (!browser) return;
  const server = await serve(process.env.RIPOSTE_CHECKS);
  context.after(() => server.close());
  await browser.open(server.address);
  const names = await browser.run(`
    for (let tries = 0; !globalThis.wasmBindings && tries < 1_000; tries += 1) await new Promise((done) => setTimeout(done, 25));
    globalThis.checks = await globalThis.wasmBindings.Checks.open();
    return globalThis.checks.names();
  `);
  assert.ok(names.length > 60, `${names.length} checks`);
  for (const [place, name] of names.entries()) {
    const findings = JSON.parse(await browser.run(`return JSON.stringify(await globalThis.checks.run(values[0]))`, place));
    assert.ok(findings.length > 0, name);
    for (const { what, error, below } of findings) assert.ok(error < below, `${name}, ${what}: ${error} must be below ${below}`);
  }
  assert.deepEqual(browser.complaints, []);
});
