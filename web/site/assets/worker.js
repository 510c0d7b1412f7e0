// The engine's worker: fetches its code, saying how far it is, and starts it. The rest is WebAssembly.
import init, { out_of_memory } from './riposte-engine.js';

const total = ENGINE_BYTES; // The build writes the size of the file here.

// Held for the life of the worker under the name that the page gave it: the page hears by it that the browser has ended the worker, of
// which no event tells. A page without an origin has no locks.
const held = new Promise((grant) => {
  if (!self.name || !navigator.locks) return grant();
  const forever = () => { grant(); return new Promise(() => {}); };
  navigator.locks.request(self.name, forever).catch(grant);
});

async function start() {
  await held;
  const response = await fetch(new URL('./riposte-engine_bg.wasm', import.meta.url));
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  let received = 0;
  const counted = new TransformStream({
    transform(chunk, controller) {
      received += chunk.byteLength;
      report(received);
      controller.enqueue(chunk);
    },
  });
  // A server that does not know the type of a .wasm file is put right here.
  const headers = { 'content-type': 'application/wasm' };
  await init({ module_or_path: new Response(response.body.pipeThrough(counted), { headers }) });
  loaded = true;
}

let reported = 0;

// A lost device, or one without memory, leaves no trace in the engine: what it is given to do from then on is simply not done. The
// loss is heard here, and the page offers another worker.
if (typeof GPUAdapter !== 'undefined') {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...wishes) {
    const device = await requestDevice.apply(this, wishes);
    device.lost.then(() => crash('The graphics device was lost: its driver was restarted, or the browser took it away.'));
    device.addEventListener('uncapturederror', ({ error }) => {
      if (error instanceof GPUOutOfMemoryError) crash('The graphics device ran out of memory.');
    });
    return device;
  };
}

// What stops in the middle has no words of its own, and a promise that it was in tells nobody.
let loaded = false;
for (const kind of ['error', 'unhandledrejection']) {
  addEventListener(kind, (event) => {
    if (!loaded) return;
    event.preventDefault();
    crash(out_of_memory() ? 'The engine ran out of memory: this browser gives it no more.' : 'The engine stopped unexpectedly.');
  });
}

function crash(message) {
  postMessage({ Crashed: { message } });
}

function report(received) {
  // Enough for a smooth bar; each message costs the page a little.
  if (received < total && received - reported < total / 50) return;
  reported = received;
  postMessage({ Download: { what: 'the engine', received, total } });
}

start().catch((error) => crash(`The engine could not be loaded: ${error.message}.`));
