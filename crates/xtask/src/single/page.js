// What a page has that carries its files itself: they lie in it as blocks, compressed, and `riposte.js` asks for them here instead of a server.

const block = (path) => document.querySelector(`script[data-carried="${path}"]`);

async function bytes(path) {
  const packed = Uint8Array.from(atob(block(path).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Response(packed).body.pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

const text = async (path) => new TextDecoder().decode(await bytes(path));

const TYPES = { css: 'text/css', js: 'text/javascript' };
const addresses = new Map();

// One address for each, as one script is one engine for all elements of the page.
function address(path) {
  if (!addresses.has(path)) {
    const type = TYPES[path.split('.').at(-1)];
    addresses.set(path, text(path).then((content) => URL.createObjectURL(new Blob([content], { type }))));
  }
  return addresses.get(path);
}

// Viewers of foreign pages may allow no worker, or none that compiles: there one may fail, or never answer. It compiles at once: WebKit
// can forget a worker that waits for its own promise and has nothing else to do.
let probe;
const able = new Promise((done, failed) => {
  const script = `let able = true;
    try { new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); } catch { able = false; }
    postMessage(able);`;
  const refuse = () => failed(new Error('this viewer allows it no worker, or no WebAssembly'));
  setTimeout(refuse, 20_000);
  probe = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })));
  probe.onerror = refuse;
  probe.onmessage = ({ data }) => {
    probe.terminate();
    if (data) done();
    else refuse();
  };
});
// Whoever asks hears of it.
able.catch(() => {});

globalThis.riposteCarried = { able, address, text, wasm: bytes };
