// The engine's worker: fetches its code, saying how far it is, and starts it. The rest is WebAssembly.
import init from './{{engine.js}}';

const total = {{engine.bytes}};

async function start() {
  const response = await fetch(new URL('{{engine.wasm}}', import.meta.url));
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
}

let reported = 0;

function report(received) {
  // Enough for a smooth bar; each message costs the page a little.
  if (received < total && received - reported < total / 50) return;
  reported = received;
  postMessage({ Download: { what: 'the engine', received, total } });
}

start().catch((error) => {
  postMessage({ Crashed: { message: `The engine could not be loaded: ${error.message}.` } });
});
