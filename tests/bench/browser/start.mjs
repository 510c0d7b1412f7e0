// A first visit: bytes on their way, and where the time to the first attack goes.
//
//   cargo xtask dist
//   cd tests/bench/browser && npm ci && npm run start
//
// Each round is a browser with a profile of its own, and a server on this machine that compresses as any good host does: what a network
// adds is the bytes over its rate. The attack is the page's own on the first image. DATA, CHROMIUM, BROWSER_FLAGS, ROUNDS as in measure.mjs.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';

const SITE = process.env.RIPOSTE_SITE ?? join(import.meta.dirname, '../../../dist');
const FLAGS = process.env.BROWSER_FLAGS?.split(' ') ?? ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const ROUNDS = Number(process.env.ROUNDS ?? 2);
const DATA = process.env.DATA ?? 'mnist';
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml', '.wasm': 'application/wasm' };

const packed = new Map();
let sent = [];
const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, 'http://localhost').pathname.slice(1) || 'index.html');
  try {
    const type = TYPES[extname(path)];
    const bytes = packed.get(path) ?? await readFile(join(SITE, path)).then((plain) => (type ? gzipSync(plain, { level: 9 }) : plain));
    packed.set(path, bytes);
    sent.push([path, bytes.length]);
    response.writeHead(200, { 'content-type': type ?? 'application/octet-stream', ...(type && { 'content-encoding': 'gzip' }) }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const address = `http://localhost:${server.address().port}/`;

async function visit(device) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  sent = [];
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(300_000);
    await page.addInitScript(() => {
      // Marks are set by the page itself: asking from outside would come late on a busy machine.
      globalThis.marks = {};
      const look = () => {
        const root = document.querySelector('riposte-arena')?.shadowRoot;
        const mark = (name, is) => { if (is && !(name in globalThis.marks)) globalThis.marks[name] = performance.now(); };
        mark('controls', root?.querySelector('button.run'));
        mark('device', /Computing on/.test(root?.querySelector('.device')?.textContent ?? ''));
        mark('image', root?.querySelector('section.attack .says b'));
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    await page.goto(`${address}?device=${device}#data=${DATA}`);
    const run = page.locator('section.attack').getByRole('button', { name: /^Attack/ }).and(page.locator(':enabled'));
    await run.waitFor();
    const attack = async () => {
      const heard = page.locator('riposte-arena').evaluate((element) => new Promise((done) => {
        element.addEventListener('riposte', ({ detail }) => done(detail.seconds), { once: true });
      }));
      await run.click();
      return heard;
    };
    const first = await attack(), again = await attack();
    const { marks, paint, origin } = await page.evaluate(() => ({
      marks: globalThis.marks, origin: performance.timeOrigin,
      paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
    }));
    const engine = await page.workers()[0].evaluate(() => {
      const own = performance.getEntriesByType('resource').map(({ name, startTime, responseEnd }) => ({ name, startTime, responseEnd }));
      return { origin: performance.timeOrigin, own };
    });
    const file = (kind) => engine.own.find(({ name }) => kind.test(name));
    const at = (time) => (engine.origin - origin + time) / 1000;
    const wasm = file(/engine-\w+\.wasm/), weights = file(/\.safetensors/), test = file(/test-\w+\.pack/);
    const seconds = {
      'first paint': paint / 1000,
      'controls drawn': marks.controls / 1000,
      'engine fetched and compiled': wasm && at(wasm.responseEnd),
      'device chosen': marks.device / 1000,
      'weights fetched': weights && at(weights.responseEnd),
      'images fetched': test && at(test.responseEnd),
      'first image classified: ready': marks.image / 1000,
      'first attack (takes)': first,
      'again (takes)': again,
    };
    return { bytes: sent, seconds };
  } finally {
    await browser.close();
  }
}

const kinds = [['page', /page-|\.html|riposte\.js|\.css|manifest|icon/], ['fonts', /woff2/], ['engine', /engine-|worker-|snippets/], ['weights', /safetensors/], ['test images', /test-\w+\.pack/]];
for (const device of ['cpu', 'webgpu']) {
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await visit(device));
  console.log(`${device}:`);
  const total = rounds[0].bytes.reduce((sum, [, bytes]) => sum + bytes, 0);
  const share = kinds.map(([kind, is]) => `${kind} ${(rounds[0].bytes.filter(([path]) => is.test(path)).reduce((sum, [, bytes]) => sum + bytes, 0) / 1000).toFixed(0)}`);
  console.log(`  ${(total / 1000).toFixed(0)} KB in ${rounds[0].bytes.length} files: ${share.join(', ')} KB`);
  for (const name of Object.keys(rounds[0].seconds)) {
    const values = rounds.map(({ seconds }) => seconds[name]).filter(Number.isFinite);
    console.log(`  ${name.padEnd(34)} ${values.map((value) => value.toFixed(2)).join(', ')} s`);
  }
}
server.close();
