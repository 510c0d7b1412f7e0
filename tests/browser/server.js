// A static server for the tests: the site under a path of its own, and whatever can go wrong on the way.

import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};

/**
 * Serves `folder` at `/course/riposte/`. `fault` may be set to a function of the path: 'corrupt', 'cut', 'missing', 'slow' or nothing.
 * `instead` holds bytes to serve in the place of a file, by its path. `headers` go with every answer. `host` is where it listens, and
 * `name` what it is called there.
 */
export async function serve(folder, { host = '127.0.0.1', name = 'localhost' } = {}) {
  const prefix = '/course/riposte/';
  const state = { fault: () => undefined, instead: new Map(), requests: [], headers: {} };
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const inside = path.startsWith(prefix) ? normalize(path.slice(prefix.length) || 'index.html') : '..';
    const file = join(folder, inside);
    state.requests.push(inside);
    for (const [name, value] of Object.entries(state.headers)) response.setHeader(name, value);
    const fault = state.fault(inside);
    const type = TYPES[extname(file)] ?? 'application/octet-stream';
    if (state.instead.has(inside)) {
      response.writeHead(200, { 'content-type': type }).end(state.instead.get(inside));
      return;
    }
    try {
      if (inside.startsWith('..') || fault === 'missing' || !(await stat(file)).isFile()) throw new Error('missing');
    } catch {
      response.writeHead(404).end('no such file');
      return;
    }
    if (fault === 'corrupt' || fault === 'cut') {
      const bytes = await readFile(file);
      response.writeHead(200, { 'content-type': type, 'content-length': bytes.length });
      if (fault === 'corrupt') {
        bytes[bytes.length >> 1] ^= 0xff;
        response.end(bytes);
      } else {
        response.write(bytes.subarray(0, bytes.length >> 1), () => setTimeout(() => response.destroy(), 50));
      }
      return;
    }
    if (fault === 'slow') await new Promise((done) => setTimeout(done, 1500));
    response.writeHead(200, { 'content-type': type });
    createReadStream(file).pipe(response);
  });
  await new Promise((done) => server.listen(0, host, done));
  const address = `http://${name}:${server.address().port}${prefix}`;
  return { address, state, close: () => new Promise((done) => { server.closeAllConnections(); server.close(done); }) };
}
