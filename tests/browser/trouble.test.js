import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, lacks, launch, prepareWorker, screenshot, stage, visit } from './browser.js';

const site = stage();

const weights = (kind) => (path) => (path.endsWith('.safetensors') ? kind : undefined);

for (const [kind, words] of [['corrupt', /checksum/], ['cut', /network/], ['missing', /did not give/]]) {
  test(`weights that come ${kind} are told of in a sentence, and trying again goes on`, async () => {
    site.server.state.fault = weights(kind);
    const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
    const arena = new Arena(page);
    const alert = arena.element.getByRole('alert');
    await alert.waitFor({ timeout: 120_000 });
    assert.match(await alert.innerText(), words);
    assert.ok(await arena.attack.getByRole('button', { name: 'Attack', exact: true }).isDisabled());
    site.server.state.fault = () => undefined;
    await arena.element.getByRole('button', { name: 'Try again' }).click();
    await arena.ready();
    assert.equal(await alert.count(), 0);
    await context.close();
  });
}

test('an engine that cannot be loaded is told of, and can be started again', async () => {
  site.server.state.fault = (path) => (/engine_bg-.*\.wasm$/.test(path) ? 'cut' : undefined);
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
  const arena = new Arena(page);
  const again = arena.device.getByRole('button', { name: 'Start it again' });
  await again.waitFor({ timeout: 60_000 });
  assert.match(await arena.device.innerText(), /could not be loaded/);
  site.server.state.fault = () => undefined;
  await again.click();
  await arena.ready();
  await context.close();
});

test('a page whose own code does not come says so, and trying again goes on', async () => {
  site.server.state.fault = (path) => (/page_bg-.*\.wasm$/.test(path) ? 'cut' : undefined);
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
  const alert = page.getByRole('alert').filter({ hasText: /could not be loaded/ });
  await alert.waitFor();
  site.server.state.fault = () => undefined;
  await alert.getByRole('button', { name: 'Try again' }).click();
  await new Arena(page).ready();
  await context.close();
});

test('training images that are cut off on their way leave the page as it was, and the riposte can be run again', async (context_) => {
  if (await lacks(site.server, 'mnist', context_)) return;
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=mnist&preset=m-mnist&post-iterations=2&post-batch-size=8&steps=5&step-size=0.1`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  site.server.state.fault = (path) => (/train-.*\.pack$/.test(path) ? 'cut' : undefined);
  await arena.riposte.getByRole('button', { name: 'Riposte', exact: true }).click();
  await arena.riposte.locator('.phase').filter({ hasText: /Fetching the training images of MNIST was cut short: the network went away/ }).waitFor();
  site.server.state.fault = () => undefined;
  await arena.runRiposte();
  await context.close();
});

test('a lost graphics device is told of, and the processor goes on where it was', async () => {
  // A browser of its own: the process that drives the GPU ends for all its pages.
  const browser = await launch();
  const { page } = await visit(browser, `${site.server.address}?device=webgpu#dataset=digits&preset=m-mnist&post-iterations=200&post-batch-size=32&steps=3&step-size=0.1&search-steps=3&search-step-size=0.1&seed=5`);
  page.setDefaultTimeout(180_000);
  const arena = new Arena(page);
  await arena.ready();
  assert.match(await arena.device.innerText(), /Computing on WebGPU/);
  await arena.runAttack();
  await arena.riposte.getByRole('button', { name: 'Riposte', exact: true }).click();
  await arena.riposte.locator('.scrubber output').filter({ hasText: /Iteration [1-9]/ }).waitFor();
  await (await browser.newBrowserCDPSession()).send('Browser.crashGpuProcess');
  await arena.riposte.locator('.phase').filter({ hasText: 'graphics device was lost' }).waitFor({ timeout: 30_000 });
  assert.match(await arena.device.innerText(), /graphics device was lost/);
  assert.ok(await arena.riposte.getByRole('button', { name: /^Riposte/ }).isDisabled(), 'nothing runs without an engine');
  // The browser blanks every canvas then: they are drawn again.
  await page.waitForFunction(() => [...document.querySelector('riposte-arena').shadowRoot.querySelectorAll('.attack .triptych canvas')].every((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
  }));
  await screenshot(page, 'device-lost');
  await arena.riposte.getByRole('button', { name: 'Go on with the processor' }).click();
  await arena.ready();
  assert.match(await arena.device.innerText(), /Computing on CPU/);
  assert.match(page.url(), /seed=5/);
  await arena.runAttack();
  await browser.close();
});

test('a graphics device without memory is told of, and the processor goes on where it was', async (context_) => {
  context_.after(() => site.server.state.instead.clear());
  // The browser's own event, without the gigabytes that would cause it.
  await prepareWorker(site.server, `
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...wishes) {
      const device = await requestDevice.apply(this, wishes);
      globalThis.runOut = () => device.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error: new GPUOutOfMemoryError('none left') }));
      return device;
    };`);
  const { page, context } = await visit(site.browser, `${site.server.address}?device=webgpu#dataset=digits&preset=m-mnist&post-iterations=6&post-batch-size=32&steps=3&step-size=0.1&seed=5`);
  const arena = new Arena(page);
  await arena.ready();
  assert.match(await arena.device.innerText(), /Computing on WebGPU/);
  await page.workers()[0].evaluate(() => globalThis.runOut());
  await arena.device.filter({ hasText: 'ran out of memory' }).waitFor();
  await arena.device.getByRole('button', { name: 'Go on with the processor' }).click();
  await arena.ready();
  assert.match(await arena.device.innerText(), /Computing on CPU/);
  assert.match(page.url(), /seed=5/);
  await arena.runAttack();
  await context.close();
});

test('where the browser refuses a graphics adapter the processor computes, and the page says why', async (context_) => {
  context_.after(() => site.server.state.instead.clear());
  await prepareWorker(site.server, 'GPU.prototype.requestAdapter = async () => null;');
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}?device=webgpu#dataset=digits&preset=m-mnist&post-iterations=6&post-batch-size=32&steps=3&step-size=0.1`);
  const arena = new Arena(page);
  await arena.ready();
  assert.match(await arena.device.innerText(), /Computing on CPU[^]*offers no graphics adapter/);
  await arena.runAttack();
  await arena.runRiposte();
  assert.deepEqual(complaints, []);
  await context.close();
});

test('what was fetched once is not fetched again', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
  await new Arena(page).ready();
  site.server.state.requests.length = 0;
  await page.reload();
  await new Arena(page).ready();
  assert.deepEqual(site.server.state.requests.filter((path) => /\.(safetensors|pack)$/.test(path)), []);
  await context.close();
});

test('files that are no pictures are refused in a sentence; large and animated ones are taken', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.attack.getByRole('tab', { name: 'Upload' }).click();
  const field = arena.attack.locator('input[type=file]');
  await field.setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
  await arena.attack.getByRole('alert').filter({ hasText: 'notes.txt' }).waitFor();
  await field.setInputFiles({ name: 'torn.png', mimeType: 'image/png', buffer: Buffer.from('\x89PNG\r\n\x1a\n torn', 'latin1') });
  await arena.attack.getByRole('alert').filter({ hasText: 'torn.png' }).waitFor();

  // 40 megapixels, painted by the browser itself: dark ink on white.
  const large = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(8000, 5000);
    const context = canvas.getContext('2d');
    context.fillStyle = '#fff';
    context.fillRect(0, 0, 8000, 5000);
    context.fillStyle = '#111';
    context.fillRect(3800, 800, 400, 3400);
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = '';
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
  });
  await field.setInputFiles({ name: 'large.jpg', mimeType: 'image/jpeg', buffer: Buffer.from(large, 'base64') });
  await arena.attack.getByRole('img', { name: /as the classifier sees it/ }).waitFor();
  assert.ok(await arena.attack.getByLabel('Dark ink on light paper').isChecked(), 'paper is turned into a dark ground');

  // Two frames, 1 x 1: black, then white. It is read; there is no digit in it.
  const animated = '47494638396101000100800100000000ffffff21f904040a0000002c000000000100010000020244010021f904040a0000002c00000000010001000002024c01003b';
  await field.setInputFiles({ name: 'moving.gif', mimeType: 'image/gif', buffer: Buffer.from(animated, 'hex') });
  await arena.attack.getByRole('alert').filter({ hasText: /no digit to be seen in .moving\.gif/ }).waitFor();
  await arena.ready();
  assert.match(page.url(), /image=px/, 'the picture before it stays');
  await context.close();
});

test('a link with nonsense in it opens the page, and says each thing that it left out', async () => {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}#data=nowhere&model=none&image=px:@@@&eps=lots&steps=-3&preset=none&seed=x&run=99&k=abc&m=7&step=1e9&s-steps=many&target=77&lr=-1&train=fast:9:9&wrong=1`);
  const arena = new Arena(page);
  await arena.ready();
  await page.waitForFunction(() => location.hash.includes('preset='));
  const kept = new URLSearchParams(new URL(page.url()).hash.slice(1));
  for (const key of ['eps', 'epsilon', 'steps', 'step', 'step-size', 's-steps', 'search-steps', 'k', 'm', 'lr', 'train', 'riposte', 'target', 'wrong']) assert.equal(kept.get(key), null, key);
  const said = await arena.element.locator('.notices').innerText();
  for (const name of ['nowhere', 'none', 'image', 'eps', 'steps', 'preset', 'seed', 'run', 'k', 'm', 'step', 's-steps', 'target', 'lr', 'train', 'wrong']) {
    assert.match(said, new RegExp(`(^|[^\\w-])${name}([^\\w-]|$)`, 'm'), name);
  }
  await arena.element.locator('.notices').getByRole('button').click();
  assert.equal(await arena.element.locator('.notices p').count(), 0);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a link to an image that there is not shows another, and picking and drawing go on', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:99999&epsilon=0.25`);
  const arena = new Arena(page);
  await arena.ready();
  assert.match(await arena.element.locator('.notices').innerText(), /Test image 99999 is not among those/);
  await page.waitForFunction(() => /image=test%3A\d{1,3}&/.test(location.hash) && /0\.25/.test(location.hash));
  await arena.attack.locator('.thumbnail').nth(12).click();
  await arena.ready();
  await arena.runAttack();
  await context.close();
});

test('attributes that are misspelt or mean nothing are named', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}embed.html?datset=mnist&dataset=digits&epsilom=0.1&controls=some&acts=7&utm_source=mail`);
  const arena = new Arena(page);
  await arena.ready();
  const said = await arena.element.locator('.notices').innerText();
  for (const words of [/datset.*dataset/, /epsilom.*epsilon/, /controls.*some/, /acts.*7/]) assert.match(said, words);
  assert.doesNotMatch(said, /utm/);
  await context.close();
});

/** Paints a seven in the browser, as a picture of a kind; its bytes. */
function seven(page, kind) {
  return page.evaluate(async (kind) => {
    const [width, height] = kind === 'wide' ? [1600, 700] : [900, 1200];
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d');
    const screen = kind === 'screen';
    context.fillStyle = screen ? '#101418' : '#f4efe2';
    context.fillRect(0, 0, width, height);
    const edge = Math.min(width, height);
    // Off the middle, and small.
    const [left, top, size] = [width * 0.55, height * 0.2, edge * 0.35];
    context.strokeStyle = { colored: '#2446c8', screen: '#f0f4ff' }[kind] ?? '#20242c';
    context.lineWidth = kind === 'hairline' ? edge / 150 : edge / 25;
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(left, top);
    context.lineTo(left + size * 0.7, top);
    context.lineTo(left + size * 0.25, top + size);
    context.stroke();
    if (kind === 'shadow') {
      const shade = context.createLinearGradient(0, 0, width, height);
      shade.addColorStop(0, 'rgba(0, 0, 0, 0)');
      shade.addColorStop(1, 'rgba(0, 0, 0, 0.6)');
      context.fillStyle = shade;
      context.fillRect(0, 0, width, height);
      // A table's edge.
      context.fillStyle = '#5a3a20';
      context.fillRect(0, height * 0.93, width, height * 0.07);
    }
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
    let text = '';
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
  }, kind);
}

test('a seven is read as a seven, drawn or uploaded: on shaded paper, in color, from a screen, in hairlines, as shapes', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
  const arena = new Arena(page);
  await arena.ready();
  const seen = arena.attack.locator('.triptych .seen-as').first();
  const record = () => page.evaluate(() => location.hash);

  await arena.attack.getByRole('tab', { name: 'Draw' }).click();
  const box = await arena.attack.locator('canvas.paper').boundingBox();
  const at = (x, y) => [box.x + box.width * x, box.y + box.height * y];
  await page.mouse.move(...at(0.3, 0.2));
  await page.mouse.down();
  for (const [x, y] of [[0.5, 0.2], [0.72, 0.2], [0.6, 0.45], [0.45, 0.85]]) await page.mouse.move(...at(x, y), { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => /image=px/.test(location.hash));
  await arena.ready();
  assert.equal(await seen.innerText(), '7', 'drawn');

  await arena.attack.getByRole('tab', { name: 'Upload' }).click();
  const field = arena.attack.locator('input[type=file]');
  const upload = async (name, mimeType, buffer) => {
    const before = await record();
    await field.setInputFiles({ name, mimeType, buffer });
    await page.waitForFunction((before) => location.hash !== before, before);
    await arena.ready();
    assert.equal(await seen.innerText(), '7', name);
  };
  for (const kind of ['paper', 'shadow', 'colored', 'screen', 'hairline', 'wide']) {
    await upload(`${kind}.png`, 'image/png', Buffer.from(await seven(page, kind), 'base64'));
    const light = await arena.attack.getByLabel('Dark ink on light paper').isChecked();
    assert.equal(light, kind !== 'screen', kind);
  }
  await screenshot(page, 'uploaded-desktop-light');
  const shapes = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><path d="M25 20H70L45 85" fill="none" stroke="#000" stroke-width="7"/></svg>';
  await upload('seven.svg', 'image/svg+xml', Buffer.from(shapes));
  await context.close();
});
