// More than one model of a dataset: the site as it was built, with models added to what it offers.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Arena, lacks, manifest, nextResult, screenshot, stage, visit } from './browser.js';

const site = stage();

/** Adds a copy of a dataset's model: under another id, with weights that are `padding` bytes larger. */
async function addModel(dataset, { id, name, padding }) {
  const { path, ...offered } = await manifest(site.server);
  const like = offered.models.find(({ card }) => card.dataset === dataset);
  const small = Buffer.from(await (await fetch(site.server.address + like.weights.path)).arrayBuffer());
  // A safetensors file begins with the length of its header, JSON that may end in spaces.
  const length = Number(small.readBigUInt64LE());
  const header = Buffer.concat([small.subarray(8, 8 + length), Buffer.alloc(padding, ' ')]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  const weights = Buffer.concat([size, header, small.subarray(8 + length)]);
  const asset = { path: `assets/${id}-0123456789ab.safetensors`, bytes: weights.length, sha256: createHash('sha256').update(weights).digest('hex') };
  const larger = { ...like.card, id, name };
  // First in the list: the page opens with the smallest, whatever their order.
  offered.models.unshift({ card: larger, weights: asset });
  site.server.state.instead.set(path, Buffer.from(JSON.stringify(offered)));
  site.server.state.instead.set(asset.path, weights);
  return { asset, small: like };
}

const fetched = ({ path }) => site.server.state.requests.includes(path);

test('a larger model says what it costs before it is fetched; the smallest one opens the page', async (context_) => {
  context_.after(() => site.server.state.instead.clear());
  const { asset, small } = await addModel('digits', { id: 'digits-large', name: 'The large one', padding: 1_000_000 });
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05`);
  const arena = new Arena(page);
  await arena.ready();
  assert.match(page.url(), new RegExp(`model=${small.card.id}&`));
  const choice = arena.element.getByRole('combobox', { name: 'Classifier' });
  assert.deepEqual((await choice.locator('option').allInnerTexts()).map((text) => text.match(/[\d.]+ MB$/)?.[0]), ['0.7 MB', '1.7 MB', '0.3 MB']);

  await choice.selectOption('digits-large');
  const offer = arena.element.locator('.offer');
  await offer.getByText(/The large one is a download of 1\.7 MB/).waitFor();
  await offer.getByText(/A riposte of 6 \u00d7 32 images will take (about|under) .* on this device/).waitFor({ timeout: 120_000 });
  assert.ok(!fetched(asset), 'nothing was fetched yet');
  await screenshot(page, 'offer-desktop-light');
  await offer.getByRole('button', { name: 'Stay with the small one' }).click();
  assert.equal(await choice.inputValue(), small.card.id);
  assert.equal(await offer.count(), 0);
  await arena.ready();

  await choice.selectOption('digits-large');
  await offer.getByRole('button', { name: 'Download 1.7 MB' }).click();
  await page.waitForFunction(() => location.hash.includes('model=digits-large'));
  await arena.ready();
  assert.ok(fetched(asset));
  assert.equal(await offer.count(), 0);
  const result = nextResult(page);
  await arena.runAttack();
  const record = await result;
  assert.equal(record.model, 'digits-large');
  assert.equal(record.weights_sha256, asset.sha256);

  const link = page.url();
  await page.reload();
  const again = nextResult(page);
  assert.equal(page.url(), link);
  assert.deepEqual((await again).steps, record.steps, 'the link holds the model');
  // Back to the small one: that costs nothing worth a question.
  await choice.selectOption(small.card.id);
  await page.waitForFunction((id) => location.hash.includes(`model=${id}&`), small.card.id);
  await arena.ready();
  assert.deepEqual(complaints, []);
  await context.close();
});

test('CIFAR-10 opens on the light form of its preset, and the full one is a click away, with its time', async (context_) => {
  if (await lacks(site.server, 'cifar10', context_)) return;
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=cifar10`);
  const arena = new Arena(page);
  await arena.ready();
  await page.waitForFunction(() => location.hash.includes('preset=light-cifar&'));
  assert.ok(!page.url().includes('post-'), 'it is the preset as it is');
  // An attack first: what is measured must not keep it waiting.
  await arena.runAttack();
  const amount = arena.riposte.getByRole('combobox', { name: 'Post-training' });
  assert.equal(await amount.inputValue(), 'light-cifar');
  const options = amount.locator('option');
  await options.filter({ hasText: /^full: 50 \u00d7 256, about/ }).waitFor({ state: 'attached', timeout: 300_000 });
  const words = await options.allInnerTexts();
  console.log(words.join('; '));
  const seconds = (text) => (/under a second/.test(text) ? 0 : Number(text.match(/about (\d+)/)[1]) * { s: 1, min: 60, h: 3600 }[text.match(/about \d+ (\w+)/)[1]]);
  assert.ok(seconds(words[1]) <= 10 && seconds(words[0]) > 10 * seconds(words[1]), words.join(', '));
  await arena.riposte.getByText(/Less than in the paper, whose form trains for \d+ times as long/).waitFor();
  await arena.riposte.getByText('Light: a little of the work, most of the gain').waitFor();
  await amount.selectOption('f-cifar');
  await page.waitForFunction(() => location.hash.includes('preset=f-cifar&') && !location.hash.includes('post-'));
  assert.equal(await arena.riposte.getByText(/Less than in the paper/).count(), 0);
  await arena.riposte.getByRole('button', { name: /^Train less: / }).click();
  await page.waitForFunction(() => location.hash.includes('preset=light-cifar&'));
  await context.close();
});

test('a link that asks for the paper\u2019s amount gets it', async (context_) => {
  if (await lacks(site.server, 'cifar10', context_)) return;
  const { page, context } = await visit(site.browser, `${site.server.address}?device=cpu#dataset=cifar10&preset=f-cifar`);
  const arena = new Arena(page);
  await arena.ready();
  const amount = arena.riposte.getByRole('combobox', { name: 'Post-training' });
  assert.equal(await amount.inputValue(), 'f-cifar');
  await context.close();
});

test('no amount of post-training is offered twice', async (context_) => {
  if (await lacks(site.server, 'mnist', context_)) return;
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=mnist`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  const options = arena.riposte.getByRole('combobox', { name: 'Post-training' }).locator('option');
  await options.filter({ hasText: /about|under/ }).first().waitFor({ state: 'attached', timeout: 300_000 });
  const amounts = (await options.allInnerTexts()).map((words) => words.match(/: (.* \u00d7 \d+)/)[1]);
  assert.equal(new Set(amounts).size, amounts.length, amounts.join(', '));
  await context.close();
});

test('the time of PreActResNet18 is told from the measured speed of the narrow one, without a byte of it', async (context_) => {
  if (await lacks(site.server, 'cifar10', context_)) return;
  const { models } = await manifest(site.server);
  const { weights: asset } = models.find(({ card }) => card.id === 'cifar10-preact-resnet18');
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=cifar10&preset=f-cifar`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.element.getByRole('combobox', { name: 'Classifier' }).selectOption('cifar10-preact-resnet18');
  const offer = arena.element.locator('.offer');
  await offer.getByText(/is a download of 22\.4 MB/).waitFor();
  await offer.getByText(/A riposte of \d+ \u00d7 \d+ images will take/).waitFor({ timeout: 300_000 });
  const words = await offer.innerText();
  console.log(words);
  const seconds = [...words.matchAll(/about (\d+) (s|min|h)\b/g)].map(([, number, unit]) => number * { s: 1, min: 60, h: 3600 }[unit]);
  assert.equal(seconds.length, 2);
  // 556 million multiply-accumulates against 35 million of width 16: 16 times; both are rounded.
  assert.ok(seconds[0] / seconds[1] > 8 && seconds[0] / seconds[1] < 32, words);
  assert.ok(!fetched(asset));
  await screenshot(page, 'offer-cifar10-desktop-light');
  await context.close();
});
