// A page that attacks and defends again and again in one tab keeps its memory: the engine's, the page's, the graphics device's.
// RIPOSTE_RUNS=200 runs it for as long as a lesson lasts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, prepareWorker, stage, visit } from './browser.js';

const site = stage();

const SETTINGS = 'dataset=digits&preset=m-mnist&post-iterations=4&post-batch-size=8&steps=3&step-size=0.1&search-steps=3&search-step-size=0.1&seed=5';

/** Runs before the first measurement: caches, pools and shaders are filled by then. */
const WARM = 5;

/** In the worker: what the engine holds of WebAssembly's memory and of the device's. */
const COUNTED = `
  const { instantiateStreaming } = WebAssembly;
  WebAssembly.instantiateStreaming = async (...parts) => {
    const result = await instantiateStreaming.apply(WebAssembly, parts);
    globalThis.engine = result.instance.exports;
    return result;
  };
  globalThis.buffers = { made: 0, count: 0, bytes: 0 };
  if (typeof GPUDevice !== 'undefined') {
    const sizes = new Map();
    const gone = new FinalizationRegistry((key) => drop(key));
    const drop = (key) => {
      if (!sizes.has(key)) return;
      globalThis.buffers.count -= 1;
      globalThis.buffers.bytes -= sizes.get(key);
      sizes.delete(key);
    };
    const keys = new WeakMap();
    const { createBuffer } = GPUDevice.prototype;
    GPUDevice.prototype.createBuffer = function (wishes) {
      const buffer = createBuffer.call(this, wishes);
      const key = globalThis.buffers.made += 1;
      sizes.set(key, wishes.size);
      keys.set(buffer, key);
      gone.register(buffer, key);
      globalThis.buffers.count += 1;
      globalThis.buffers.bytes += wishes.size;
      return buffer;
    };
    const { destroy } = GPUBuffer.prototype;
    GPUBuffer.prototype.destroy = function () { drop(keys.get(this)); return destroy.call(this); };
  }`;

/** Megabytes. */
async function held(page, session) {
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  const [engine, buffers, bytes] = await page.workers()[0].evaluate(() => [globalThis.engine.memory.buffer.byteLength, globalThis.buffers.count, globalThis.buffers.bytes]);
  return { page: usedSize / 2 ** 20, engine: engine / 2 ** 20, buffers, device: bytes / 2 ** 20 };
}

for (const [device, runs, limits] of [
  ['cpu', Number(process.env.RIPOSTE_RUNS ?? 30), { page: 2, engine: 4 }],
  ['webgpu', Number(process.env.RIPOSTE_RUNS ?? 30) / 3, { page: 2, engine: 4, buffers: 40, device: 16 }],
]) {
  test(`memory stays flat over many attacks and defenses on ${device}`, { timeout: 3_600_000 }, async (context_) => {
    context_.after(() => site.server.state.instead.clear());
    await prepareWorker(site.server, COUNTED);
    const { page, context } = await visit(site.browser, `${site.server.address}?device=${device}#${SETTINGS}`);
    page.setDefaultTimeout(240_000);
    const session = await context.newCDPSession(page);
    await session.send('HeapProfiler.enable');
    const arena = new Arena(page);
    await arena.ready();
    assert.match(await arena.device.innerText(), device === 'cpu' ? /Computing on CPU/ : /Computing on WebGPU/);
    const once = async () => {
      await arena.runAttack();
      await arena.runRiposte();
    };
    for (let run = 0; run < WARM; run += 1) await once();
    const before = await held(page, session);
    for (let run = 0; run < runs; run += 1) await once();
    const after = await held(page, session);
    const text = (held) => Object.entries(held).map(([what, value]) => `${what} ${value.toFixed(1)}`).join(', ');
    context_.diagnostic(`after ${WARM} runs: ${text(before)}; after ${Math.floor(runs)} more: ${text(after)} (megabytes; buffers: their number)`);
    for (const [what, limit] of Object.entries(limits)) {
      assert.ok(after[what] - before[what] <= limit, `${what}: ${text(before)}, then ${text(after)}`);
    }
    await context.close();
  });
}
