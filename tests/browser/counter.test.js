// Act III: an attacker who knows that the defense adapts, round by round.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Arena, lacks, nextResult, portraits, screenshot, stage, visit } from './browser.js';

const riposte = process.env.RIPOSTE_BINARY;
if (!riposte) throw new Error('RIPOSTE_BINARY must name the native program: run `cargo xtask test --only browser`');
const run = promisify(execFile);

const site = stage();

// Few steps and iterations: what they lead to is checked natively.
const SHORT = 'preset=m-mnist&post-iterations=4&post-batch-size=32&steps=5&step-size=0.1&search-steps=5&search-step-size=0.1&seed=3';

/** A page whose attack of act I is done. */
async function attacked(hash, options) {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}${hash}`, options);
  page.setDefaultTimeout(240_000);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  return { page, context, complaints, arena };
}

const points = (arena) => arena.counter.locator('.rounds > li');

for (const [data, device, said, settings] of [
  ['digits', 'cpu', /Computing on CPU/, 'counter=gmsa-average&counter-steps=6&counter-rounds=3&counter-adaptations=2&counter-judges=3'],
  ['digits', 'webgpu', /Computing on WebGPU/, 'counter=gmsa-minimum&counter-steps=4&counter-rounds=2&counter-judges=2'],
  ['mnist', 'cpu', /Computing on CPU/, 'counter=fixed-point&counter-steps=6&counter-rounds=3&counter-judges=3'],
]) {
  test(`${data}: the rounds on ${device} are those of the native program with the same seed`, async (context_) => {
    if (await lacks(site.server, data, context_)) return;
    const { page, context, complaints, arena } = await attacked(`?device=${device}#dataset=${data}&image=test:3&${SHORT}&${settings}`);
    assert.match(await arena.device.innerText(), said);
    const result = nextResult(page);
    await arena.runCounter();
    const web = await result;
    assert.equal(web.act, 3);
    assert.match(web.command, / --counter \S+ /);
    const { stdout } = await run(riposte, [...web.command.split(' ').slice(1), '--device', 'cpu', '--json', '--images', '--out', 'none']);
    const native = JSON.parse(stdout);
    assert.ok(native.counter.rounds.length > 0);
    assert.deepEqual(web.counter.settings, native.counter.settings);
    const exact = ({ truth, ...rest }) => rest;
    for (const list of ['rounds', 'judgments']) {
      assert.deepEqual(web.counter[list].map(exact), native.counter[list].map(exact), list);
      const apart = web.counter[list].map(({ truth }, place) => Math.abs(truth - native.counter[list][place].truth));
      console.log(`${list}: ${apart.map((value) => value.toExponential(1)).join(', ')}`);
      // A logit differs by some 1e-3 (see webgpu.test.js), and a point of the attack by a step where a gradient is within rounding of zero.
      assert.ok(Math.max(...apart) < 0.02, `${apart}`);
    }
    assert.equal(web.images.rounds.length, native.images.rounds.length);
    for (const { values } of web.images.rounds) {
      const change = Math.max(...values.map((value, place) => Math.abs(value - web.images.natural.values[place])));
      assert.ok(change <= web.attack.epsilon + 1e-6 && values.every((value) => value >= 0 && value <= 1), `in the ball: ${change}`);
    }
    // What is shown is what is in the record.
    assert.equal(await points(arena).count(), web.counter.rounds.length);
    for (const [place, { answer, pair }] of web.counter.rounds.entries()) {
      const words = await points(arena).nth(place).innerText();
      assert.ok(words.includes(`says \u201c${answer}\u201d`) && words.includes(String(pair[0])), words);
      assert.match(words, answer === web.label ? /right/ : /wrong/);
    }
    assert.equal(await arena.counter.locator('.verdict tbody tr').count(), 2, 'the untouched image and the point that stands');
    assert.deepEqual(complaints, []);
    if (device === 'webgpu') await screenshot(page, 'counter-webgpu');
    await context.close();
  });
}

test('the verdict says where the defense fell and why, or that it held, and the story takes it over', async () => {
  const { page, context, complaints, arena } = await attacked('#dataset=digits&image=test:198&preset=f-mnist&seed=0', { reducedMotion: 'reduce' });
  await arena.counter.getByText(/On this device it takes .* at most/).waitFor();
  await arena.runCounter();
  const fell = await arena.counter.locator('.headline').innerText();
  assert.match(fell, /^The defense falls to the picture of round [12]: .*Asked 4 times anew, it is wrong (once|\d times|every time)\.$/);
  assert.ok((await arena.element.locator('.story').innerText()).includes(fell));
  assert.equal(await points(arena).locator('xpath=self::*[contains(@class, "stands")]').count(), 1);
  await portraits(page, arena, 'counter-fell');
  // At a strength of nearly nothing it holds.
  await arena.attack.getByLabel('Strength').fill('0.01');
  await arena.ready();
  assert.equal(await points(arena).count(), 0, 'what was found with another strength is gone');
  await arena.runAttack();
  await arena.runCounter();
  assert.match(await arena.counter.locator('.headline').innerText(), /^The defense holds against 5 rounds: asked 4 times anew about the attacker.s best picture, it is right every time\.$/);
  await portraits(page, arena, 'counter-held');
  assert.deepEqual(complaints, []);
  await context.close();
});

test('each attacker that is offered attacks, and the address keeps it', async () => {
  const { page, context, complaints, arena } = await attacked(`#dataset=digits&image=test:3&${SHORT}&counter-steps=3&counter=decoy`, { reducedMotion: 'reduce' });
  const attackers = arena.counter.getByRole('combobox', { name: /^The attacker/ });
  assert.equal(await attackers.inputValue(), 'decoy');
  await arena.counter.locator('summary').click();
  assert.equal(await arena.counter.getByRole('textbox', { name: /^Counter steps/ }).inputValue(), '3');
  const offered = await attackers.locator('option').evaluateAll((options) => options.map(({ value }) => value));
  for (const kind of ['gmsa-average', 'gmsa-minimum', 'fixed-point', 'suppression', 'decoy', 'transfer']) assert.ok(offered.includes(kind), kind);
  assert.ok(!offered.includes('none'));
  for (const kind of ['suppression', 'decoy', 'fixed-point', 'attack']) {
    await attackers.selectOption(kind);
    // The control of the point of act I has no steps of its own.
    await page.waitForFunction((kind) => location.hash.includes(`counter=${kind}&`) && location.hash.includes('counter-steps=3') === (kind !== 'attack'), kind);
    const result = nextResult(page);
    await arena.counter.getByRole('button', { name: /^Attack the defense/ }).click();
    const { counter } = await result;
    assert.equal(counter.settings.kind, kind);
    assert.ok(counter.rounds.length > 0 && counter.rounds.every((round) => round.kind === kind), kind);
    await arena.counter.locator('.headline').waitFor();
  }
  const steps = arena.counter.getByRole('textbox', { name: /^Counter steps/ });
  assert.equal(await steps.count(), 0, 'the control takes none');
  await attackers.selectOption('decoy');
  await steps.fill('10000');
  await steps.press('Enter');
  await arena.counter.getByText(/10000 is more than 500/).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a link that means nothing to act III is told so, and one that leads to its rounds leads to the same', async () => {
  const odd = await visit(site.browser, `${site.server.address}#dataset=digits&counter=none&counter-steps=many`);
  await odd.page.locator('.notices').getByText(/counter = .none. was left out: act III always has an attacker/).waitFor();
  await odd.page.locator('.notices').getByText(/counter-steps = .many. was left out/).waitFor();
  await odd.context.close();

  const { page, context, arena } = await attacked(`#dataset=digits&image=test:3&${SHORT}&counter=fixed-point&counter-steps=3&counter-rounds=2`);
  await arena.runRiposte();
  const result = nextResult(page);
  await arena.runCounter();
  const was = await result;
  await page.waitForFunction(() => /run=3/.test(location.hash));
  const link = page.url();
  await context.close();
  const second = await visit(site.browser, 'about:blank');
  await second.page.goto(link);
  await new Arena(second.page).counter.locator('.headline').waitFor({ timeout: 240_000 });
  const download = second.page.waitForEvent('download');
  await second.page.getByRole('button', { name: 'Save record (JSON)' }).click();
  const chunks = [];
  for await (const chunk of await (await download).createReadStream()) chunks.push(chunk);
  assert.deepEqual(JSON.parse(Buffer.concat(chunks)).counter, was.counter);
  await second.context.close();
});

test('an attack on the defense stops when it is told to, and one that leads to a certain class has none after it', async () => {
  const { page, context, arena } = await attacked('#dataset=digits&image=test:3&preset=m-mnist&post-iterations=300&steps=5&step-size=0.1&counter-rounds=20&counter=gmsa-average');
  await arena.counter.getByRole('button', { name: 'Attack the defense' }).click();
  await arena.counter.locator('.turn').filter({ hasText: /iteration \d+ of 300|climbs, step/ }).waitFor();
  await arena.counter.getByRole('button', { name: 'Stop' }).click();
  await arena.counter.getByText('Stopped.').waitFor({ timeout: 20_000 });
  const reached = await points(arena).count();
  await page.waitForTimeout(1500);
  assert.equal(await points(arena).count(), reached, 'no round after it stopped');
  await arena.attack.getByLabel('Make it see').selectOption('8');
  await arena.ready();
  await arena.runAttack();
  await arena.counter.getByText('This attacker takes any wrong answer').waitFor();
  assert.ok(await arena.counter.getByRole('button', { name: /^Attack the defense/ }).isDisabled());
  await context.close();
});

test('attributes set the attacker, too', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}?counter=suppression&counter-judges=2&dataset=digits`);
  const arena = new Arena(page);
  await arena.ready();
  assert.equal(await arena.counter.getByRole('combobox', { name: /^The attacker/ }).inputValue(), 'suppression');
  await page.waitForFunction(() => /counter=suppression&counter-judges=2/.test(location.hash));
  await context.close();
});

test('a record is loaded back: the page\u2019s own, and one of the native program', async () => {
  const { page, context, complaints, arena } = await attacked(`#dataset=digits&image=test:5&${SHORT}&counter=fixed-point&counter-steps=3&counter-rounds=2`);
  await arena.runRiposte();
  const result = nextResult(page);
  await arena.runCounter();
  const saved = await result;
  const load = async (record) => {
    await page.goto('about:blank');
    await page.goto(`${site.server.address}#dataset=digits&image=test:1`);
    await arena.ready();
    await arena.attack.getByRole('tab', { name: 'Upload' }).click();
    await arena.attack.locator('input[type=file]').setInputFiles({ name: 'riposte-run.json', mimeType: 'application/json', buffer: Buffer.from(record) });
  };
  await load(JSON.stringify(saved));
  await arena.counter.locator('.headline').waitFor();
  const again = async () => {
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Save record (JSON)' }).click();
    const chunks = [];
    for await (const chunk of await (await download).createReadStream()) chunks.push(chunk);
    return JSON.parse(Buffer.concat(chunks));
  };
  const loaded = await again();
  for (const field of ['index', 'seed', 'attack', 'riposte', 'attacked', 'race', 'answer', 'counter']) assert.deepEqual(loaded[field], saved[field], field);

  // The native program fights it again, and its own record is loaded as well.
  const folder = await mkdtemp(join(tmpdir(), 'riposte-'));
  await writeFile(join(folder, 'record.json'), JSON.stringify(saved));
  const { stdout, stderr } = await run(riposte, ['duel', '--replay', join(folder, 'record.json'), '--device', 'cpu', '--json', '--out', 'none']);
  assert.match(stderr, /It came out as the record says/);
  const native = JSON.parse(stdout);
  assert.deepEqual([native.index, native.seed, native.riposte], [saved.index, saved.seed, saved.riposte]);
  await load(stdout);
  await arena.counter.locator('.headline').waitFor();
  assert.deepEqual((await again()).counter, saved.counter);
  await rm(folder, { recursive: true });

  for (const [record, words] of [['{', /is not JSON/], ['{"link": null}', /is no record of a duel/], ['{"link": "https://example.org/#nothing"}', /leads to no run/]]) {
    await load(record);
    await arena.attack.locator('.trouble').getByText(words).waitFor();
    assert.match(page.url(), /image=test%3A1&|image=test:1/);
  }
  assert.deepEqual(complaints, []);
  await context.close();
});

test('steps play in slow motion, and the change is shown as strong as it is', async () => {
  const { page, context, arena } = await attacked(`#dataset=digits&image=test:3&${SHORT}`);
  await arena.settled(arena.attack);
  const slow = arena.attack.getByRole('button', { name: 'Slow' });
  await slow.click();
  assert.equal(await slow.getAttribute('aria-pressed'), 'true');
  const started = performance.now();
  await arena.attack.getByRole('button', { name: 'Play the steps' }).click();
  await arena.settled(arena.attack);
  // Five steps of 420 ms; without it, of 70.
  assert.ok(performance.now() - started > 1800, `${performance.now() - started}`);
  const change = arena.attack.locator('.triptych canvas').nth(1);
  const before = await change.evaluate((canvas) => canvas.toDataURL());
  await arena.attack.getByRole('button', { name: 'As strong as it is' }).click();
  await arena.attack.getByText('The change, as strong as it is').waitFor();
  assert.notEqual(await change.evaluate((canvas) => canvas.toDataURL()), before);
  await context.close();
});
