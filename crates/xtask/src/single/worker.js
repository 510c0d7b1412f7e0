// The worker of a page that carries its files: what it would fetch is in this script. A page opened as a file hands its worker no
// address that could be read, and starts none that is a module.
const carried = CARRIED;
const { fetch: fetchFromServer } = self;

self.fetch = (what, ...rest) => {
  const packed = carried[what.url ?? String(what)];
  if (packed === undefined) return fetchFromServer(what, ...rest);
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return Promise.resolve(new Response(new Response(bytes).body.pipeThrough(new DecompressionStream('gzip'))));
};
