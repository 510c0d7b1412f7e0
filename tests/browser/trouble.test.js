import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, stage, visit } from './browser.js';

const site = stage();

const weights = (kind) => (path) => (path.endsWith('.safetensors') ? kind : undefined);

for (const [kind, words] of [['corrupt', /checksum/], ['cut', /network/], ['missing', /did not give/]]) {
  test(`weights that come ${kind} are told of in a sentence, and trying again goes on`, async () => {
    site.server.state.fault = weights(kind);
    const { page, context } = await visit(site.browser, `${site.server.address}#data=digits`);
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
  site.server.state.fault = (path) => (/engine-.*\.wasm$/.test(path) ? 'cut' : undefined);
  const { page, context } = await visit(site.browser, `${site.server.address}#data=digits`);
  const arena = new Arena(page);
  const again = arena.device.getByRole('button', { name: 'Start it again' });
  await again.waitFor({ timeout: 60_000 });
  assert.match(await arena.device.innerText(), /could not be loaded/);
  site.server.state.fault = () => undefined;
  await again.click();
  await arena.ready();
  await context.close();
});

test('what was fetched once is not fetched again', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#data=digits`);
  await new Arena(page).ready();
  site.server.state.requests.length = 0;
  await page.reload();
  await new Arena(page).ready();
  assert.deepEqual(site.server.state.requests.filter((path) => /\.(safetensors|pack)$/.test(path)), []);
  await context.close();
});

test('files that are no pictures are refused in a sentence; large and animated ones are taken', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#data=digits`);
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

  // Two frames, 1 x 1: black, then white.
  const animated = '47494638396101000100800100000000ffffff21f904040a0000002c000000000100010000020244010021f904040a0000002c00000000010001000002024c01003b';
  await field.setInputFiles({ name: 'moving.gif', mimeType: 'image/gif', buffer: Buffer.from(animated, 'hex') });
  await page.waitForFunction(() => /image=px/.test(location.hash));
  assert.equal(await arena.attack.getByRole('alert').count(), 0);
  await arena.ready();
  await context.close();
});

test('a link with nonsense in it opens the page as if it were not there', async () => {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}#data=nowhere&model=none&image=px:@@@&eps=lots&steps=-3&preset=none&seed=x&run=99&k=abc`);
  const arena = new Arena(page);
  await arena.ready();
  assert.deepEqual(complaints, []);
  await context.close();
});
