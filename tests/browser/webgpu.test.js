// The kernels in Chromium: a run on WebGPU, and on the page's CPU engine, against the native program's on the CPU.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Arena, nextResult, screenshot, stage, visit } from './browser.js';

const riposte = process.env.RIPOSTE_BINARY;
if (!riposte) throw new Error('RIPOSTE_BINARY must name the native program: run `cargo xtask test --only browser`');
const run = promisify(execFile);

const site = stage();

/** Attack and riposte on the page; the native program then repeats them with the command that the page offers. */
async function both(device, hash) {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}?device=${device}#${hash}`);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  page.setDefaultTimeout(180_000);
  const arena = new Arena(page);
  await arena.ready();
  const computing = await arena.device.innerText();
  await arena.runAttack();
  const result = nextResult(page);
  await arena.runRiposte();
  const web = await result;
  await page.getByRole('button', { name: 'Copy command' }).click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.deepEqual(complaints, []);
  const { stdout } = await run(riposte, [...command.split(' ').slice(1), '--device', 'cpu', '--json', '--out', 'none']);
  return { web, native: JSON.parse(stdout), computing, page, context };
}

/** The largest distance of two lists of numbers. */
function distance(first, second) {
  assert.equal(first.length, second.length);
  return Math.max(...first.map((value, index) => Math.abs(value - second[index])));
}

function agree({ web, native }, tolerance) {
  for (const field of ['dataset', 'index', 'label', 'original', 'neighbor', 'riposted', 'fooled_after', 'attack', 'riposte', 'seed']) {
    assert.deepEqual(web[field], native[field], field);
  }
  assert.ok(native.riposted, 'a run that adapts');
  assert.equal(web.answer.class, native.answer.class);
  const attacked = distance(web.attacked.probabilities, native.attacked.probabilities);
  assert.equal(web.race.length, native.race.length);
  const race = Math.max(...web.race.map((logits, index) => distance(logits, native.race[index])));
  const losses = distance(web.losses, native.losses);
  console.log(`attacked ${attacked.toExponential(1)}, race ${race.toExponential(1)}, losses ${losses.toExponential(1)}`);
  assert.ok(attacked < tolerance && race < tolerance && losses < tolerance, `within ${tolerance}`);
}

// A logit is some 10; f32 sums in another order differ by 1e-6 of that. The attack takes the sign of a gradient, and where one is
// within rounding of zero a pixel goes the other way by two steps, which moves a logit by some 1e-3.
const TOLERANCE = 0.02;

const SMALL = 'preset=m-mnist&post-iterations=4&post-batch-size=32&steps=5&step-size=0.1&search-steps=5&search-step-size=0.1&seed=3';
const WEBGPU = /Computing on WebGPU/;
const CPU = /Computing on CPU/;

for (const [data, device, said, settings] of [
  ['digits', 'webgpu', WEBGPU, SMALL],
  ['digits', 'cpu', CPU, SMALL],
  ['mnist', 'webgpu', WEBGPU, SMALL],
  ['mnist', 'cpu', CPU, SMALL],
  // A residual network takes minutes on a software adapter: the processor's engine alone.
  ['cifar10', 'cpu', CPU, 'post-iterations=2&post-batch-size=8&steps=5&step-size=0.01&search-steps=5&search-step-size=0.02&seed=3'],
]) {
  test(`${data}: the page on ${device} and the native program come to the same`, async (context_) => {
    const script = await (await fetch(`${site.server.address}riposte.js`)).text();
    const manifest = await (await fetch(`${site.server.address}assets/${script.match(/manifest-\w+\.json/)[0]}`)).json();
    if (!manifest.datasets.some(({ id }) => id === data)) return context_.skip(`the site has no ${data}`);
    const result = await both(device, `dataset=${data}&image=test:3&${settings}`);
    assert.match(result.computing, said);
    agree(result, TOLERANCE);
    if (device === 'webgpu') await screenshot(result.page, `webgpu-${data}`);
    await result.context.close();
  });
}

test('a run on WebGPU stops within a step when it is told to', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}?device=webgpu#dataset=digits&preset=m-mnist&post-iterations=500&post-batch-size=32&steps=3&step-size=0.1&search-steps=3&search-step-size=0.1`);
  page.setDefaultTimeout(180_000);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  await arena.riposte.getByRole('button', { name: 'Riposte', exact: true }).click();
  await arena.riposte.locator('.scrubber output').filter({ hasText: /Iteration [2-9] of 500/ }).waitFor();
  await arena.riposte.getByRole('button', { name: 'Stop' }).click();
  await arena.riposte.getByText('Stopped.').waitFor({ timeout: 30_000 });
  await context.close();
});
