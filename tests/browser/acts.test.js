import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, launch, nextResult, screenshot, stage, visit } from './browser.js';

// Few iterations: the CPU engine of a small test machine has to do them. What they lead to is checked natively.
const SHORT = '#data=digits&k=6&m=32&steps=10&step=0.05';

const site = stage();

test('the three acts follow each other, and every answer stands beside the truth', async () => {
  const { page, context, complaints } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  assert.ok(await arena.riposte.getByRole('button', { name: 'Riposte', exact: true }).isDisabled(), 'nothing to answer before an attack');

  await arena.runAttack();
  await arena.settled(arena.attack);
  await arena.runRiposte();
  await arena.runCounter();
  await arena.settled(arena.counter);

  const rows = await arena.riposte.locator('.verdict tbody tr').allInnerTexts();
  assert.equal(rows.length, 2, 'the static and the adapted classifier');
  for (const row of rows) assert.match(row, /right|wrong/);
  assert.match(await arena.riposte.locator('.work').innerText(), /6 iterations over 192 training images/);
  assert.match(await arena.counter.innerText(), /plain re-attack/);

  await arena.counter.getByRole('button', { name: 'Let it riposte again' }).click();
  await arena.counter.locator('.work').waitFor();
  await screenshot(page, 'acts-desktop-light');
  assert.deepEqual(complaints, []);
  await context.close();
});

test('the attack stays in its ball, and its change is what is shown', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  const result = nextResult(page);
  await arena.runAttack();
  const record = await result;
  assert.equal(record.act, 1);
  assert.equal(record.attack.logits.length, record.attack_settings.steps + 1, 'the start and every step');
  const { values } = record.attack.image;
  assert.ok(values.every((value) => value >= 0 && value <= 1), 'inside the pixel range');
  const legend = await arena.attack.locator('.legend .value').innerText();
  const largest = Number(legend.match(/[\d.]+/)[0]);
  assert.ok(largest > 0 && largest <= record.attack_settings.epsilon + 1e-6, `a change of at most epsilon, not ${legend}`);
  await context.close();
});

test('a link leads to the same run, seed and all', async () => {
  const random = `${SHORT}&start=uniform&seed=7&image=test:3`;
  const first = await visit(site.browser, site.server.address + random);
  const arena = new Arena(first.page);
  await arena.ready();
  await arena.runAttack();
  const before = nextResult(first.page);
  await arena.runRiposte();
  const was = await before;
  const link = first.page.url();
  assert.match(link, /run=2/);
  await first.context.close();

  const second = await visit(site.browser, link);
  await new Arena(second.page).riposte.locator('.verdict').waitFor({ timeout: 180_000 });
  const download = second.page.waitForEvent('download');
  await second.page.getByRole('button', { name: 'Save record (JSON)' }).click();
  const { readFile } = await import('node:fs/promises');
  const is = JSON.parse(await readFile(await (await download).path(), 'utf8'));
  assert.deepEqual(is.image, { test: 3 });
  assert.deepEqual(is.attack.logits, was.attack.logits);
  assert.deepEqual(is.riposte_run.adapted, was.riposte_run.adapted);
  await second.context.close();
});

test('a run stops within a step when it is told to, and another can follow', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#data=digits&k=500&m=128&steps=10&step=0.05`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  await arena.riposte.getByRole('button', { name: 'Riposte', exact: true }).click();
  const scrubber = arena.riposte.locator('.scrubber output');
  await scrubber.filter({ hasText: /Iteration [2-9] of 500/ }).waitFor({ timeout: 120_000 });
  await arena.riposte.getByRole('button', { name: 'Stop' }).click();
  await arena.riposte.getByText('Stopped.').waitFor({ timeout: 10_000 });
  const reached = await arena.riposte.locator('.scrubber input').getAttribute('max');
  await page.waitForTimeout(1500);
  assert.equal(await arena.riposte.locator('.scrubber input').getAttribute('max'), reached, 'no step after it stopped');
  await arena.runAttack();
  await context.close();
});

test('the processor computes where there is no WebGPU, and the page says so', async () => {
  const plain = await launch(['--disable-features=WebGPU', '--disable-webgpu']);
  const { page } = await visit(plain, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  assert.match(await arena.device.innerText(), /Computing on CPU/);
  await arena.runAttack();
  await plain.close();
});

test('MNIST is attacked and answered, where the site was built with it', async (context_) => {
  const { page, context } = await visit(site.browser, `${site.server.address}#data=mnist&k=6&m=32&steps=10&step=0.05`);
  const arena = new Arena(page);
  await arena.ready();
  const offered = await arena.element.locator('.bench select').first().innerText();
  if (!offered.includes('MNIST')) {
    await context.close();
    return context_.skip('the site has no MNIST model or no MNIST data');
  }
  await arena.runAttack();
  await arena.runRiposte();
  await screenshot(page, 'mnist-desktop-light');
  await context.close();
});

test('CIFAR-10 is attacked, answered and attacked again in color, where the site was built with a model of it', async (context_) => {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}#data=cifar10&k=2&m=8&steps=3&step=0.01&s-steps=3&s-step=0.01`);
  const arena = new Arena(page);
  await arena.ready();
  const offered = await arena.element.locator('.bench select').first().innerText();
  if (!offered.includes('CIFAR-10')) {
    await context.close();
    return context_.skip('the site has no CIFAR-10 model or no CIFAR-10 data');
  }
  assert.equal(await arena.attack.getByRole('tab', { name: 'Draw' }).count(), 0, 'nobody draws a photograph');
  assert.ok(await arena.attack.getByRole('button', { name: /airplane, test image/ }).count() > 0, 'the gallery names what it shows');
  const colored = await arena.attack.locator('.thumbnail canvas').first().evaluate((canvas) => {
    const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return { width, height, colored: data.some((value, place) => place % 4 === 0 && value !== data[place + 2]) };
  });
  assert.deepEqual(colored, { width: 32, height: 32, colored: true });
  const record = nextResult(page);
  await arena.runAttack();
  assert.deepEqual((await record).attack.image.shape, [3, 32, 32]);
  const amounts = arena.riposte.getByLabel('Post-training');
  await amounts.locator('option').filter({ hasText: /full: .*about|full: .*under/ }).waitFor({ state: 'attached', timeout: 120_000 });
  const answered = nextResult(page);
  await arena.runRiposte();
  const { riposte_run: run } = await answered;
  assert.equal(run.iterations.length, run.riposted ? 2 : 0);
  await arena.runCounter();
  await screenshot(page, 'cifar10-desktop-light');
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a photograph becomes a small color picture, where the site has CIFAR-10', async (context_) => {
  const { page, context } = await visit(site.browser, `${site.server.address}#data=cifar10&steps=2`);
  const arena = new Arena(page);
  await arena.ready();
  if (!(await arena.element.locator('.bench select').first().innerText()).includes('CIFAR-10')) {
    await context.close();
    return context_.skip('the site has no CIFAR-10 model or no CIFAR-10 data');
  }
  await arena.attack.getByRole('tab', { name: 'Upload' }).click();
  const photograph = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(600, 400);
    const context = canvas.getContext('2d');
    context.fillStyle = '#c03020';
    context.fillRect(0, 0, 600, 400);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
    return btoa(String.fromCharCode(...bytes));
  });
  await arena.attack.locator('input[type=file]').setInputFiles({ name: 'red.png', mimeType: 'image/png', buffer: Buffer.from(photograph, 'base64') });
  await arena.attack.getByRole('img', { name: /as the classifier sees it/ }).waitFor();
  assert.ok(await arena.attack.getByLabel('Dark ink on light paper').isHidden(), 'a photograph is not turned around');
  await arena.ready();
  const record = nextResult(page);
  await arena.runAttack();
  const { image } = await record;
  assert.deepEqual(image.pixels.shape, [3, 32, 32]);
  const [red, green] = [image.pixels.values[0], image.pixels.values[1024]];
  assert.ok(Math.abs(red - 0xc0 / 255) < 0.01 && Math.abs(green - 0x30 / 255) < 0.01, `planes of red and green, not ${red} and ${green}`);
  await context.close();
});
