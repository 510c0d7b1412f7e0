// The engine alone: its worker on an empty page, so that nothing is drawn. How much of a step's time is the page's is the difference to
// what measure.mjs finds; and where the engine's own goes, `--profile FILE` (a CPU profile of the worker, for the browser's developer
// tools) and `--trace FILE` (all of the browser's processes, for ui.perfetto.dev) tell, of an attack or with `--what training` of that.
//
//   cargo xtask dist
//   cd tests/bench/browser && npm ci && npm run engine
//
// Prints seconds of PGD-40 on one image, and of each step of post-training with 256 images, the first time and again. DEVICE (WebGpu),
// DATA (digits), CHROMIUM and BROWSER_FLAGS as in measure.mjs, STEPS (40), TRAIN_STEPS (5), TIMES (3).

import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { serve } from '../../browser/server.js';

const SITE = process.env.RIPOSTE_SITE ?? join(import.meta.dirname, '../../../dist');
const FLAGS = process.env.BROWSER_FLAGS?.split(' ') ?? ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const { DEVICE = 'WebGpu', DATA = 'digits', STEPS = '40', TRAIN_STEPS = '5', TIMES = '3' } = process.env;
const { values: { profile, trace, what } } = parseArgs({
  options: { profile: { type: 'string' }, trace: { type: 'string' }, what: { type: 'string', default: 'attack' } },
});

const server = await serve(SITE);
server.state.instead.set('empty.html', '<!doctype html><link rel="icon" href="data:,"><title>empty</title>');
const assets = await readdir(join(SITE, 'assets'));
const asset = (name) => assets.find((file) => file.startsWith(`${name}-`));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
const page = await browser.newPage();
page.setDefaultTimeout(1_200_000);
page.on('console', (message) => console.error(message.text()));
await page.goto(`${server.address}empty.html`);

/** Starts the engine and opens the dataset's first model. */
await page.evaluate(async ({ worker, manifest, device, data }) => {
  const { datasets, models } = await (await fetch(manifest)).json();
  const dataset = datasets.find(({ id }) => id === data), model = models.find((entry) => entry.dataset === data);
  const engine = new Worker(worker, { type: 'module' });
  const waiting = new Map();
  let run = 0;
  let booted;
  const ready = new Promise((done) => { booted = done; });
  engine.onmessage = ({ data: event }) => {
    if (event === 'Booted') return booted();
    const [[kind, body]] = Object.entries(event);
    if (kind === 'Crashed') return console.error(JSON.stringify(body));
    waiting.get(body?.run)?.(kind, body);
  };
  /** All events of a run, until its last one. */
  globalThis.ask = (kind, body) => new Promise((done, failed) => {
    run += 1;
    const id = run, events = [];
    waiting.set(id, (name, event) => {
      events.push({ name, event, at: performance.now() });
      if (name === 'Failed') failed(new Error(event.message));
      if (['Opened', 'Gallery', 'Attacked', 'Answered', 'Timed', 'Classified'].includes(name)) done(events);
    });
    engine.postMessage({ [kind]: { run: id, ...body } });
  });
  await ready;
  engine.postMessage({ Start: { device } });
  const [opened] = (await ask('Open', { base: new URL('.', location).href, dataset, model, fresh: false })).slice(-1);
  const [gallery] = (await ask('TestImage', { model: model.id, number: 3 })).slice(-1);
  globalThis.setup = { model: model.id, preset: opened.event.opened.presets[0], image: gallery.event.samples[0] };
}, { worker: `assets/${asset('worker')}`, manifest: `assets/${asset('manifest')}`, device: DEVICE, data: DATA });

/** Attack, or riposte, once: seconds. */
const attack = (steps) => page.evaluate(async (steps) => {
  const { model, preset, image } = globalThis.setup;
  const input = { image: image.image, seed: 3, number: image.number };
  const settings = { ...preset.attack, steps, step_size: 0.01, stop: 'Never' };
  const events = await ask('Attack', { victim: { Base: { model } }, input, class: image.label, settings });
  const looks = events.filter(({ name }) => name === 'Steps').length;
  return { seconds: events.at(-1).event.seconds, looks };
}, steps);
const riposte = (iterations) => page.evaluate(async (iterations) => {
  const { model, preset, image } = globalThis.setup;
  const input = { image: image.image, seed: 3, number: image.number };
  // A search that surely finds a neighbor.
  const search = { ...preset.riposte.search, epsilon: 0.5, steps: 5, step_size: 0.1, stop: 'Never' };
  const settings = { ...preset.riposte, iterations, batch: 256, search };
  const events = await ask('Riposte', { model, input, settings });
  const ends = events.filter(({ name }) => name === 'Iterations');
  const steps = ends.map(({ event, at }, index) => ({ at, of: event.iterations.length, index }));
  return { answered: events.at(-1).event.verdict.work, steps };
}, iterations);

let session;
async function begin() {
  if (profile) {
    session = await page.context().newCDPSession(page);
    // The worker's own target, reached through the page's.
    session.worker = await new Promise(async (found) => {
      session.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => targetInfo.type === 'worker' && found(sessionId));
      await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
    });
    session.ask = (method, params = {}) => new Promise((done) => {
      const id = Math.floor(Math.random() * 1e9);
      const hear = ({ message }) => {
        const answer = JSON.parse(message);
        if (answer.id !== id) return;
        session.off('Target.receivedMessageFromTarget', hear);
        done(answer.result);
      };
      session.on('Target.receivedMessageFromTarget', hear);
      session.send('Target.sendMessageToTarget', { sessionId: session.worker, message: JSON.stringify({ id, method, params }) });
    });
    await session.ask('Profiler.enable');
    await session.ask('Profiler.setSamplingInterval', { interval: 500 });
    await session.ask('Profiler.start');
  }
  if (trace) {
    await browser.startTracing(page, { path: trace, categories: ['gpu', 'gpu.service', 'gpu.dawn', 'toplevel', 'v8', 'blink', 'cc', 'viz', 'devtools.timeline', 'disabled-by-default-gpu.dawn', 'disabled-by-default-gpu.service'] });
  }
}
async function end() {
  if (trace) await browser.stopTracing();
  if (profile) await writeFile(profile, JSON.stringify((await session.ask('Profiler.stop')).profile));
}

// The last one of its kind is profiled.
for (let time = 0; time < Number(TIMES); time++) {
  const last = time === Number(TIMES) - 1 && what === 'attack';
  if (last) await begin();
  const { seconds, looks } = await attack(Number(STEPS));
  if (last) await end();
  console.log(`attack, ${STEPS} steps, ${looks} looks: ${seconds.toFixed(3)} s, ${(seconds / Number(STEPS) * 1000).toFixed(1)} ms a step`);
}
if (Number(TRAIN_STEPS) > 0) {
  for (let time = 0; time < 2; time++) {
    const last = time === 1 && what === 'training';
    if (last) await begin();
    const { answered, steps } = await riposte(Number(TRAIN_STEPS));
    if (last) await end();
    const each = steps.slice(1).map(({ at, of }, index) => (at - steps[index].at) / 1000 / of);
    console.log(`post-training: ${JSON.stringify(answered)}; between looks, a step: ${each.map((s) => s.toFixed(2)).join(' ')}`);
  }
}
await browser.close();
await server.close();
