// The engine without memory, without its device, without room for its files, without its life: each time a sentence and a way on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, prepareWorker, stage, visit } from './browser.js';

const site = stage();

const SETTINGS = 'dataset=digits&preset=m-mnist&post-iterations=6&post-batch-size=16&steps=3&step-size=0.1&search-steps=3&search-step-size=0.1&counter=fixed-point&counter-steps=2&counter-rounds=2&counter-judges=2&seed=5';

/** In the worker: WebAssembly that has so many pages of 64 KiB beyond its first ones and no more, and whose parts are at `engine`. */
const bounded = (pages) => `
  const leb = (bytes, at) => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = bytes[at++];
      value |= (byte & 127) << shift;
      shift += 7;
      if (byte < 128) return [value, at];
    }
  };
  const written = (value) => {
    const bytes = [];
    do { bytes.push((value & 127) | (value > 127 ? 128 : 0)); value >>>= 7; } while (value);
    return bytes;
  };
  // The section of the memory, with a limit.
  const limited = (bytes) => {
    let at = 8;
    while (at < bytes.length) {
      const [size, start] = leb(bytes, at + 1);
      if (bytes[at] === 5) {
        const [least] = leb(bytes, start + 2);
        const section = [1, 1, ...written(least), ...written(least + ${pages})];
        return join(bytes, at, section, start + size);
      }
      at = start + size;
    }
    throw new Error('the engine has no memory of its own');
  };
  const join = (bytes, at, section, rest) => {
    const head = [5, ...written(section.length), ...section];
    const whole = new Uint8Array(at + head.length + bytes.length - rest);
    whole.set(bytes.subarray(0, at));
    whole.set(head, at);
    whole.set(bytes.subarray(rest), at + head.length);
    return whole;
  };
  WebAssembly.instantiateStreaming = async (response, imports) => {
    const bytes = new Uint8Array(await (await response).arrayBuffer());
    const result = await WebAssembly.instantiate(limited(bytes), imports);
    globalThis.engine = result.instance.exports;
    globalThis.least = globalThis.engine.memory.buffer.byteLength;
    return result;
  };`;

const again = (arena) => arena.device.getByRole('button', { name: 'Start it again' });

test('an engine that gets no memory for its first classifier says so, and another one goes on', async (context_) => {
  context_.after(() => site.server.state.instead.clear());
  await prepareWorker(site.server, bounded(8));
  const { page, context } = await visit(site.browser, `${site.server.address}?device=cpu#${SETTINGS}`);
  const arena = new Arena(page);
  await arena.device.filter({ hasText: 'ran out of memory' }).waitFor({ timeout: 60_000 });
  site.server.state.instead.clear();
  await again(arena).click();
  await arena.ready();
  assert.match(page.url(), /seed=5/);
  await arena.runAttack();
  await context.close();
});

const ACTS = {
  attack: { before: async () => {}, start: (arena) => arena.attack.locator('button.run') },
  riposte: { before: (arena) => arena.runAttack(), start: (arena) => arena.riposte.getByRole('button', { name: /^Riposte/ }) },
  counter: {
    before: async (arena) => { await arena.runAttack(); await arena.runRiposte(); },
    start: (arena) => arena.counter.getByRole('button', { name: /^Attack the defense/ }),
  },
};

/** Every button that starts something waits for an engine; after a new start the page is where it was, and the act can be done. */
async function goesOn(page, arena, act) {
  assert.ok(await ACTS[act].start(arena).isDisabled(), 'nothing runs without an engine');
  const processor = arena.device.getByRole('button', { name: 'Go on with the processor' });
  await (await processor.count() ? processor : again(arena)).first().click();
  await arena.ready();
  assert.match(page.url(), /seed=5/);
  await ACTS[act].before(arena);
  await ACTS[act].start(arena).click();
  const done = { attack: arena.attack.locator('.phase').filter({ hasText: /Fooled|held/ }), riposte: arena.riposte.locator('.verdict'), counter: arena.counter.locator('.headline') };
  await done[act].waitFor({ timeout: 240_000 });
}

// An attacker who keeps every copy that the defense made needs more memory than one riposte does.
const COPIES = SETTINGS.replace('fixed-point', 'gmsa-average').replace('counter-rounds=2', 'counter-rounds=64').concat('&epsilon=0.02');

for (const act of Object.keys(ACTS)) {
  test(`memory that runs out in the act "${act}" is told of, and another engine goes on`, async (context_) => {
    context_.after(() => site.server.state.instead.clear());
    const open = async (pages) => {
      await prepareWorker(site.server, bounded(pages));
      const { page, context } = await visit(site.browser, `${site.server.address}?device=cpu#${act === 'counter' ? COPIES : SETTINGS}`);
      page.setDefaultTimeout(120_000);
      const arena = new Arena(page);
      await arena.ready();
      await ACTS[act].before(arena);
      return { page, context, arena };
    };
    // What is enough for all that comes before the act is too little for the act.
    const first = await open(4000);
    const pages = await first.page.workers()[0].evaluate(() => (globalThis.engine.memory.buffer.byteLength - globalThis.least) / 65536);
    await first.context.close();
    const { page, context, arena } = await open(pages);
    await ACTS[act].start(arena).click();
    await arena.device.filter({ hasText: 'ran out of memory' }).waitFor({ timeout: 60_000 });
    site.server.state.instead.clear();
    await goesOn(page, arena, act);
    await context.close();
  });
}

for (const act of ['attack', 'riposte', 'counter']) {
  test(`a device that is lost in the act "${act}" is told of, and the processor goes on`, async (context_) => {
    context_.after(() => site.server.state.instead.clear());
    // At the first command of the act that reaches the device.
    await prepareWorker(site.server, `
      const { requestDevice } = GPUAdapter.prototype;
      let device;
      GPUAdapter.prototype.requestDevice = async function (...wishes) { return device = await requestDevice.apply(this, wishes); };
      const { submit } = GPUQueue.prototype;
      globalThis.loseAfter = Infinity;
      GPUQueue.prototype.submit = function (...buffers) {
        submit.apply(this, buffers);
        if (--globalThis.loseAfter < 0) device.destroy();
      };`);
    const { page, context } = await visit(site.browser, `${site.server.address}?device=webgpu#${SETTINGS}`);
    page.setDefaultTimeout(240_000);
    const arena = new Arena(page);
    await arena.ready();
    assert.match(await arena.device.innerText(), /Computing on WebGPU/);
    await ACTS[act].before(arena);
    await page.workers()[0].evaluate(() => { globalThis.loseAfter = 2; });
    await ACTS[act].start(arena).click();
    await arena.device.filter({ hasText: 'graphics device was lost' }).waitFor({ timeout: 60_000 });
    await goesOn(page, arena, act);
    assert.match(await arena.device.innerText(), /Computing on CPU/);
    await context.close();
  });

  test(`a worker that the browser ends in the act "${act}" is told of, and another one goes on`, async () => {
    const { page, context } = await visit(site.browser, `${site.server.address}?device=cpu#${SETTINGS.replace('steps=3', 'steps=400').replace('post-iterations=6', 'post-iterations=400')}`);
    page.setDefaultTimeout(120_000);
    const arena = new Arena(page);
    await arena.ready();
    await ACTS[act].before(arena);
    await ACTS[act].start(arena).click();
    // No event tells the page of this.
    await page.workers()[0].evaluate(() => { setTimeout(() => close()); });
    await arena.device.filter({ hasText: 'The browser ended the engine' }).waitFor({ timeout: 30_000 });
    assert.ok(await ACTS[act].start(arena).isDisabled());
    await again(arena).click();
    await arena.ready();
    await arena.runAttack();
    await context.close();
  });
}

for (const [fault, code] of [
  ['is full', `Cache.prototype.put = async () => { throw new DOMException('none left', 'QuotaExceededError'); };`],
  ['is refused', `CacheStorage.prototype.open = async () => { throw new DOMException('not here', 'SecurityError'); };`],
]) {
  test(`where the browser's cache ${fault} the page does all that it does, and fetches again next time`, async (context_) => {
    context_.after(() => site.server.state.instead.clear());
    await prepareWorker(site.server, code);
    const { page, context, complaints } = await visit(site.browser, `${site.server.address}?device=cpu#${SETTINGS}`);
    const arena = new Arena(page);
    await arena.ready();
    await arena.runAttack();
    await arena.runRiposte();
    assert.deepEqual(complaints, []);
    await page.reload();
    await new Arena(page).ready();
    await context.close();
  });
}
