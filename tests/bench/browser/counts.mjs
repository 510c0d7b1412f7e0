// What a step costs in calls to WebGPU: compute dispatches, submits, readbacks, uploads, buffers and bind groups, on the page.
//
//   cargo xtask dist
//   cd tests/bench/browser && npm ci && npm run counts
//
// Each run is made twice with a different number of steps; the difference is what one step takes, whatever a run begins and ends with.
// Shaders are compiled by a run before. `--kernels` also times every dispatch (timestamp queries, one pass each, which slows the whole):
// milliseconds of a step, by kernel. DATA chooses the dataset (digits), CHROMIUM and BROWSER_FLAGS as in measure.mjs.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { serve } from '../../browser/server.js';

const SITE = process.env.RIPOSTE_SITE ?? join(import.meta.dirname, '../../../dist');
const FLAGS = process.env.BROWSER_FLAGS?.split(' ') ?? ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
const DATA = process.env.DATA ?? 'digits';
const { values: { kernels } } = parseArgs({ options: { kernels: { type: 'boolean', default: false } } });

/** Runs in the worker, before the engine. */
function watch(timeKernels) {
  const counts = {};
  globalThis.counts = counts;
  const counted = (prototype, method, name = method) => {
    const original = prototype[method];
    prototype[method] = function (...rest) {
      counts[name] = (counts[name] ?? 0) + 1;
      return original.apply(this, rest);
    };
  };
  counted(GPUComputePassEncoder.prototype, 'dispatchWorkgroups', 'dispatches');
  counted(GPUComputePassEncoder.prototype, 'dispatchWorkgroupsIndirect', 'dispatches');
  counted(GPUCommandEncoder.prototype, 'beginComputePass', 'passes');
  counted(GPUCommandEncoder.prototype, 'copyBufferToBuffer', 'copies');
  counted(GPUQueue.prototype, 'submit', 'submits');
  counted(GPUQueue.prototype, 'writeBuffer', 'uploads');
  counted(GPUBuffer.prototype, 'mapAsync', 'readbacks');
  counted(GPUDevice.prototype, 'createBuffer', 'buffers');
  counted(GPUDevice.prototype, 'createBindGroup', 'bind groups');
  counted(GPUDevice.prototype, 'createComputePipeline', 'pipelines');
  counted(GPUDevice.prototype, 'createComputePipelineAsync', 'pipelines');
  counted(globalThis, 'postMessage', 'messages');
  if (!timeKernels) return;

  // Every dispatch in a pass of its own, between two timestamps.
  const names = new WeakMap(), spent = {};
  const create = GPUDevice.prototype.createComputePipeline, shader = GPUDevice.prototype.createShaderModule;
  GPUDevice.prototype.createShaderModule = function (described) {
    const made = shader.call(this, described);
    names.set(made, described.label || /fn\s+(\w+)\s*\(\s*@builtin|fn\s+(\w+)\(\n/.exec(described.code)?.[1] || 'kernel');
    return made;
  };
  GPUDevice.prototype.createComputePipeline = function (described) {
    const made = create.call(this, described);
    names.set(made, `${described.compute.entryPoint ?? ''} ${names.get(described.compute.module)}`);
    return made;
  };
  const begin = GPUCommandEncoder.prototype.beginComputePass, finish = GPUCommandEncoder.prototype.finish;
  const request = GPUAdapter.prototype.requestDevice;
  let device;
  GPUAdapter.prototype.requestDevice = async function (described) {
    device = await request.call(this, described);
    return device;
  };
  GPUCommandEncoder.prototype.beginComputePass = function () {
    const encoder = this;
    encoder.timed ??= [];
    const state = { groups: new Map() };
    return {
      setPipeline(pipeline) { state.pipeline = pipeline; },
      setBindGroup(index, group) { state.groups.set(index, group); },
      dispatchWorkgroups(...grid) {
        counts.dispatches = (counts.dispatches ?? 0) + 1;
        const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
        const pass = begin.call(encoder, { timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } });
        pass.setPipeline(state.pipeline);
        for (const [index, group] of state.groups) pass.setBindGroup(index, group);
        GPUComputePassEncoder.prototype.dispatchWorkgroups.call(pass, ...grid);
        counts.dispatches -= 1;
        pass.end();
        encoder.timed.push([`${names.get(state.pipeline)} ${grid.join('x')}`, querySet]);
      },
      end() {},
      pushDebugGroup() {}, popDebugGroup() {}, insertDebugMarker() {},
    };
  };
  GPUCommandEncoder.prototype.finish = function (...rest) {
    for (const [name, querySet] of this.timed ?? []) {
      const resolved = device.createBuffer({ size: 16, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
      const read = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      this.resolveQuerySet(querySet, 0, 2, resolved, 0);
      this.copyBufferToBuffer(resolved, 0, read, 0, 16);
      setTimeout(() => read.mapAsync(GPUMapMode.READ).then(() => {
        const [from, to] = new BigInt64Array(read.getMappedRange());
        const entry = spent[name] ??= { calls: 0, ms: 0 };
        entry.calls += 1;
        entry.ms += Number(to - from) / 1e6;
        for (const thing of [querySet, resolved, read]) thing.destroy();
      }));
    }
    return finish.apply(this, rest);
  };
  globalThis.kernels = spent;
}

const server = await serve(SITE);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
const context = await browser.newContext();
await context.route(/\/worker-\w+\.js$/, async (route) => {
  const path = new URL(route.request().url()).pathname.split('/assets/')[1];
  const script = await readFile(join(SITE, 'assets', path), 'utf8');
  // Imports are hoisted, but the engine's module does nothing until it is started.
  await route.fulfill({ contentType: 'text/javascript', body: script.replace('start().catch', `(${watch})(${kernels});\nstart().catch`) });
});
const page = await context.newPage();
page.setDefaultTimeout(600_000);

/** Attack and riposte with so many steps; what each took. */
async function run(steps, iterations) {
  await page.goto(`${server.address}?device=webgpu&n=${Math.random()}#data=${DATA}&preset=${DATA === 'cifar10' ? 'f-cifar' : 'm-mnist'}&k=${iterations}&m=256&steps=${steps}&step=0.1&s-steps=5&s-step=0.1&image=test:3&seed=3`);
  const ready = page.locator('section.attack').getByRole('button', { name: /^Attack/ }).and(page.locator(':enabled'));
  await ready.waitFor();
  const worker = page.workers()[0];
  const settle = () => page.waitForTimeout(kernels ? 500 : 50);
  const snapshot = async () => {
    await settle();
    return worker.evaluate(() => structuredClone({ counts: globalThis.counts, kernels: globalThis.kernels ?? {} }));
  };
  const act = async (section, name) => {
    const done = page.locator('riposte-arena').evaluate((element) => new Promise((heard) => {
      element.addEventListener('riposte', ({ detail }) => heard(detail), { once: true });
    }));
    await page.locator(`section.${section}`).getByRole('button', { name }).click();
    return done;
  };
  const once = async () => {
    const before = await snapshot();
    const attacked = await act('attack', /^Attack/);
    const between = await snapshot();
    const answered = await act('riposte', /^Riposte/);
    const after = await snapshot();
    return {
      attack: { seconds: attacked.seconds, ...since(before, between) },
      'post-training': { seconds: answered.work.seconds, ...since(between, after) },
    };
  };
  // The first time compiles shaders.
  await once();
  const counts = await once();
  // Another image is classified once.
  const before = await snapshot();
  await page.locator('section.attack').getByRole('button', { name: /test image/ }).nth(1).click();
  await ready.waitFor();
  await page.waitForTimeout(1000);
  return { ...counts, classified: since(before, await snapshot()) };
}

function since(before, after) {
  const keys = Object.keys(after.counts);
  const counts = Object.fromEntries(keys.map((key) => [key, after.counts[key] - (before.counts[key] ?? 0)]));
  const spent = Object.entries(after.kernels).map(([name, { calls, ms }]) => {
    const was = before.kernels[name] ?? { calls: 0, ms: 0 };
    return [name, { calls: calls - was.calls, ms: ms - was.ms }];
  });
  return { counts, kernels: Object.fromEntries(spent.filter(([, { calls }]) => calls > 0)) };
}

/** What is not zero. */
const listed = (entries) => entries.filter(([, count]) => count).map(([key, count]) => `${count} ${key}`).join(', ');

const [FEW, MANY] = [[10, 2], [20, 4]];
const few = await run(...FEW), many = await run(...MANY);
for (const [place, act] of ['attack', 'post-training'].entries()) {
  const steps = MANY[place] - FEW[place];
  const per = (key) => ((many[act].counts[key] ?? 0) - (few[act].counts[key] ?? 0)) / steps;
  console.log(`${act}, a step: ${((many[act].seconds - few[act].seconds) / steps * 1000).toFixed(0)} ms`);
  console.log(`  ${listed(Object.keys(many[act].counts).map((key) => [key, per(key)]))}`);
  const lines = Object.entries(many[act].kernels).map(([name, { calls, ms }]) => {
    const was = few[act].kernels[name] ?? { calls: 0, ms: 0 };
    return [(ms - was.ms) / steps, `  ${((ms - was.ms) / steps).toFixed(2).padStart(8)} ms  ${((calls - was.calls) / steps).toFixed(1).padStart(5)} x  ${name}`];
  });
  for (const [ms, line] of lines.sort((a, b) => b[0] - a[0])) if (ms > 0) console.log(line);
}
console.log(`an image classified, which a step of post-training does once to show its effect:\n  ${listed(Object.entries(few.classified.counts))}`);
await browser.close();
await server.close();
