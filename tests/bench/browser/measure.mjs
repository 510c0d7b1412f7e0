// The page against tfjs in the same browser: PGD-40 on one image, and post-training steps of 256 images, of the fast MNIST CNN.
//
//   cargo xtask dist
//   cd tests/bench/browser && npm ci && npm run measure
//
// Alternating rounds, each in a browser of its own, so that every round has a first call. Prints JSON. CHROMIUM names another browser,
// BROWSER_FLAGS replaces the flags that choose the software adapter, ROUNDS the number of rounds (2). Arguments name sides to measure alone.
//
//   cargo xtask checks --stock --out target/checks-stock
//   RIPOSTE_CHECKS=../../../target/checks-stock TRAIN_STEPS=10 npm run measure -- kernels stock 'tfjs webgpu'
//
// adds the same steps with the layers computed by the kernels and by Burn's own operations, in an empty page, each step read.

import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { serve } from '../../browser/server.js';

const SITE = process.env.RIPOSTE_SITE ?? join(import.meta.dirname, '../../../dist');
const FLAGS = process.env.BROWSER_FLAGS?.split(' ') ?? ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const ROUNDS = Number(process.env.ROUNDS ?? 2);
const TRAIN = Number(process.env.TRAIN_STEPS ?? 5);

const pages = await serve(SITE), rival = await serve(import.meta.dirname);

async function inBrowser(work) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(1_200_000);
    return await work(page);
  } finally {
    await browser.close();
  }
}

/** Attack and riposte on the page, twice. */
const riposte = (device) => () => inBrowser(async (page) => {
  const began = performance.now();
  await page.goto(`${pages.address}?device=${device}#data=digits&k=${TRAIN}&m=256&steps=40&step=0.01&s-steps=1&s-step=0.3`);
  const result = () => page.locator('riposte-arena').evaluate((element) => new Promise((done) => {
    element.addEventListener('riposte', ({ detail }) => done(detail), { once: true });
  }));
  const ready = page.locator('section.attack').getByRole('button', { name: /^Attack/ }).and(page.locator(':enabled'));
  await ready.waitFor();
  const opened = (performance.now() - began) / 1000;
  const attack = [], adapt = [];
  for (let time = 0; time < 2; time++) {
    let done = result();
    await ready.click();
    attack.push((await done).attack.seconds);
    done = result();
    await page.locator('section.riposte').getByRole('button', { name: /^Riposte/ }).click();
    const { work } = (await done).riposte_run;
    adapt.push(work.seconds / Math.max(work.iterations, 1));
  }
  return { opened, attack, train: adapt };
});

const tfjs = (backend) => () => inBrowser(async (page) => {
  await page.goto(`${rival.address}tfjs.html`);
  return page.evaluate(([name, trainSteps]) => measure(name, { trainSteps }), [backend, TRAIN]);
});

/** The checks' own steps, without the page. */
const layers = (stock) => () => inBrowser(async (page) => {
  await page.goto(bare.address);
  await page.waitForFunction(() => globalThis.wasmBindings);
  return page.evaluate(async ([stock, trainSteps]) => {
    const checks = await globalThis.wasmBindings.Checks.open();
    const seconds = async (spent) => Array.from(await spent, (milliseconds) => milliseconds / 1000);
    const attack = [];
    for (let time = 0; time < 2; time++) attack.push((await seconds(checks.attack(stock, 40))).reduce((a, b) => a + b));
    return { attack, train: await seconds(checks.train(stock, 256, trainSteps)) };
  }, [stock, TRAIN]);
});

const sides = { 'riposte webgpu': riposte('webgpu'), 'tfjs webgpu': tfjs('webgpu'), 'riposte cpu': riposte('cpu'), 'tfjs cpu': tfjs('cpu') };
let bare;
if (process.env.RIPOSTE_CHECKS) {
  bare = await serve(process.env.RIPOSTE_CHECKS);
  Object.assign(sides, { kernels: layers(false), stock: layers(true) });
}
const only = process.argv.slice(2);
const rounds = [];
for (let round = 0; round < ROUNDS; round++) {
  const found = {};
  for (const [name, measure] of Object.entries(sides)) {
    if (only.length && !only.includes(name)) continue;
    console.error(`round ${round + 1} of ${ROUNDS}: ${name}`);
    found[name] = await measure().catch((error) => ({ error: String(error) }));
  }
  rounds.push(found);
}
console.log(JSON.stringify(rounds, null, 1));
await pages.close();
await rival.close();
await bare?.close();
