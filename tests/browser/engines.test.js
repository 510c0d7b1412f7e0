// The page in the three browser engines: the same run has the same record, digit by digit, where the page's own engine computes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, stage, visit } from './browser.js';
import { firefox, webkit } from './engines.js';
import { serve } from './server.js';

const HASH = '#dataset=digits&preset=m-mnist&image=test:3&seed=7&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05&counter-rounds=2&counter-steps=4&judges=2';

const site = stage();

// Runs in the page. `values`: the acts' names.
const JOURNEY = `
  const until = async (found, what) => {
    for (let tries = 0; tries < 12_000; tries += 1) {
      const value = found();
      if (value) return value;
      await new Promise((done) => setTimeout(done, 25));
    }
    throw new Error('waited in vain for ' + what);
  };
  const element = await until(() => document.querySelector('riposte-arena'), 'the element');
  const records = [];
  element.addEventListener('riposte', (event) => records.push(event.detail));
  for (const act of values) {
    const button = await until(() => element.shadowRoot?.querySelector('section.' + act + ' button.run:enabled:not(.stop)'), 'the button of ' + act);
    const before = records.length;
    button.click();
    await until(() => records.length > before, 'the record of ' + act);
  }
  return JSON.stringify(records.at(-1));
`;

/** A record without what differs between two runs of the same: time, and who computed it. */
function comparable(json) {
  const { date, device, seconds, link, work, ...rest } = JSON.parse(json);
  return { ...rest, work: { ...work, seconds: 0 } };
}

async function journey(browser, address, acts) {
  await browser.open(address);
  return comparable(await browser.run(JOURNEY, ...acts));
}

const ACTS = ['attack', 'riposte', 'counter'];

for (const [name, launch] of Object.entries({ Firefox: firefox, WebKit: webkit })) {
  test(`the three acts in ${name} have the record that they have in Chromium`, { timeout: 300_000 }, async (context) => {
    const address = `${site.server.address}?device=cpu${HASH}`;
    const { page, context: ours } = await visit(site.browser, address);
    await new Arena(page).ready();
    const expected = comparable(await page.evaluate(`(async (values) => {${JOURNEY}})(${JSON.stringify(ACTS)})`));
    await ours.close();
    const browser = await launch();
    context.after(() => browser.close());
    console.log(browser.name);
    assert.deepEqual(await journey(browser, address, ACTS), expected);

    // A link leads to the same run, and a frame on a page of someone else's tells its height and its result.
    const shared = await browser.run(`return location.hash`);
    assert.match(shared, /seed=7/);
    const other = await serve(process.env.RIPOSTE_SITE);
    context.after(() => other.close());
    other.state.instead.set('elsewhere.html', `<!doctype html><title>Elsewhere</title>
      <script>globalThis.told = []; addEventListener('message', ({ data }) => told.push(data));</script>
      <iframe title="Riposte" width="800" height="600" src="${site.server.address}embed.html?device=cpu&controls=run&acts=1${HASH}"></iframe>`);
    await browser.open(`${other.address.replace('localhost', '127.0.0.1')}elsewhere.html`);
    const height = await browser.run(`
      for (let tries = 0; tries < 2_000; tries += 1) {
        const { height } = told.findLast(({ type }) => type === 'riposte:height') ?? {};
        if (height > 200) return height;
        await new Promise((done) => setTimeout(done, 25));
      }
      return JSON.stringify(told);
    `);
    assert.ok(height > 200, `a height from the frame, not ${height}`);
    assert.deepEqual(browser.complaints, []);
  });
}

test('the kernels on WebGPU in Firefox agree with float64', { timeout: 600_000 }, async (context) => {
  const server = await serve(process.env.RIPOSTE_CHECKS);
  const browser = await firefox({ 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true });
  context.after(async () => {
    await browser.close();
    await server.close();
  });
  console.log(browser.name);
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
