import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFile } from 'node:fs/promises';
import { Arena, lacks, launch, nextResult, portraits, stage, visit } from './browser.js';

// Few iterations: the CPU engine of a small test machine has to do them. What they lead to is checked natively.
const SHORT = '#dataset=digits&preset=m-mnist&image=test:0&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05';

const site = stage();

function probabilities(logits) {
  const weights = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  const sum = weights.reduce((first, second) => first + second);
  return weights.map((weight) => weight / sum);
}

test('the three acts follow each other, and every answer stands beside the truth', async () => {
  const { page, context, complaints } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  assert.ok(await arena.riposte.getByRole('button', { name: 'Riposte', exact: true }).isDisabled(), 'nothing to answer before an attack');

  await arena.runAttack();
  await arena.settled(arena.attack);
  await arena.runRiposte();
  await arena.runCounter();

  const rows = await arena.riposte.locator('.verdict tbody tr').allInnerTexts();
  assert.equal(rows.length, 2, 'the static and the adapted classifier');
  for (const row of rows) assert.match(row, /right|wrong/);
  assert.match(await arena.riposte.locator('.work').innerText(), /6 iterations over 192 training images/);
  assert.match(await arena.counter.locator('.headline').innerText(), /^The defense (holds against|falls to the picture)|^No attacker is needed/);
  await portraits(page, arena, 'digits');
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
  assert.equal(record.steps.length, record.attack.steps + 1, 'the start and every step');
  const { values } = record.images.attacked;
  assert.ok(values.every((value) => value >= 0 && value <= 1), 'inside the pixel range');
  // The pictures walk over the steps first, from a change of nothing.
  await arena.settled(arena.attack);
  const legend = await arena.attack.locator('.legend .value').innerText();
  const largest = Number(legend.match(/[\d.]+/)[0]);
  assert.ok(largest > 0 && largest <= record.attack.epsilon + 1e-6, `a change of at most epsilon, not ${legend}`);
  await context.close();
});

test('a targeted attack is after the class it was given, which is never the image\u2019s own', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:3&steps=40&step-size=0.01&target=8`);
  const arena = new Arena(page);
  await arena.ready();
  const wanted = arena.attack.getByLabel('Make it see');
  assert.equal(await wanted.inputValue(), '8');
  const [own] = (await arena.attack.locator('.thumbnail.chosen').getAttribute('aria-label')).split(',');
  assert.ok(!(await wanted.locator('option').allInnerTexts()).some((text) => text.includes(`\u201c${own}\u201d`)), 'its own class is not offered');
  const result = nextResult(page);
  await arena.runAttack();
  const { attacked, steps, target } = await result;
  assert.equal(target, 8);
  const [start, end] = [steps[0], steps.at(-1)].map(probabilities);
  assert.ok(end[8] > start[8], `the class asked for gains: ${start[8]} to ${end[8]}`);
  assert.match(await arena.attack.locator('.phase').innerText(), attacked.class === 8 ? /Fooled: the classifier now sees \u201c8\u201d/ : /held|not \u201c8\u201d/);
  await arena.attack.getByRole('button', { name: /^8, test image/ }).first().click();
  await page.waitForFunction(() => !location.hash.includes('target='));
  assert.equal(await wanted.inputValue(), 'any');
  await context.close();
});

test('where an image holds, others are tried until one falls', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:1&steps=5&step-size=0.06&post-iterations=2&post-batch-size=8`);
  const arena = new Arena(page);
  await arena.ready();
  const records = await arena.element.evaluateHandle((element) => {
    const records = [];
    element.addEventListener('riposte', ({ detail }) => records.push(detail));
    return records;
  });
  await arena.runAttack();
  await arena.attack.locator('.phase').filter({ hasText: 'held' }).waitFor();
  await arena.attack.getByRole('button', { name: 'Try others until one falls' }).click();
  const fooled = arena.attack.locator('.phase').filter({ hasText: 'Fooled' });
  await fooled.waitFor({ timeout: 180_000 });
  const tried = await records.jsonValue();
  const wrong = tried.map(({ attacked, label }) => attacked.class !== label);
  assert.equal(wrong.indexOf(true), tried.length - 1, 'it ends with the first that falls');
  assert.ok(tried.every(({ natural, label }) => natural.class === label), 'each was seen right untouched');
  assert.equal(new Set(tried.map(({ index }) => index)).size, tried.length, 'no image twice');
  const held = tried.length - 2;
  if (held > 1) assert.match(await fooled.innerText(), new RegExp(`${held} images tried before it held`));
  assert.match(page.url(), new RegExp(`image=test%3A${tried.at(-1).index}&`));
  await arena.runRiposte();

  // And it stops when it is told to.
  await arena.attack.locator('.thumbnail').nth(11).click();
  await page.waitForFunction(() => !location.hash.includes('run='));
  await arena.ready();
  await arena.attack.getByLabel('Strength').fill('0.01');
  await arena.runAttack();
  await arena.attack.getByRole('button', { name: 'Try others until one falls' }).click();
  await arena.attack.locator('.phase').filter({ hasText: /[2-9] held so far/ }).waitFor();
  await arena.attack.getByRole('button', { name: 'Stop' }).click();
  await page.waitForTimeout(500);
  const rest = (await records.jsonValue()).length;
  await page.waitForTimeout(1500);
  assert.equal((await records.jsonValue()).length, rest);
  await context.close();
});

test('where a weak attack fails, one as strong as usual is a click away', async () => {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}#dataset=digits&image=test:3&epsilon=0.02&steps=10&step-size=0.05`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  await arena.attack.locator('.phase').filter({ hasText: 'held' }).waitFor();
  const result = nextResult(page);
  await arena.attack.getByRole('button', { name: 'Attack at strength 0.3' }).click();
  const { attack } = await result;
  assert.ok(Math.abs(attack.epsilon - 0.3) < 1e-6 && attack.steps === 10, JSON.stringify(attack));
  assert.equal(await arena.attack.getByRole('button', { name: /^Attack at strength/ }).count(), 0);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('each answer in the midst of the steps says of which step it is', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  await arena.settled(arena.attack);
  const caption = arena.attack.locator('.triptych .what').last();
  assert.equal(await caption.innerText(), 'The attacked image is seen as');
  await arena.attack.locator('.scrubber input').focus();
  await page.keyboard.press('Home');
  await arena.attack.getByText('After step 0 of 10 it is seen as').waitFor();
  await context.close();
});

test('a class has one color through all acts', async () => {
  const { page, context } = await visit(site.browser, site.server.address, { reducedMotion: 'reduce' });
  const arena = new Arena(page);
  await arena.ready();
  const seen = (section) => section.locator('.seen-as').evaluateAll((all) => all.map((one) => [one.textContent, getComputedStyle(one).color]));
  await arena.runAttack();
  await arena.runRiposte();
  const colors = new Map();
  for (const [name, color] of [...await seen(arena.attack), ...await seen(arena.riposte)]) {
    assert.equal(colors.get(name) ?? color, color, `${name} in two colors`);
    colors.set(name, color);
  }
  assert.ok(colors.size >= 2 && new Set(colors.values()).size === Math.min(colors.size, 3), [...colors].join(' '));
  await context.close();
});

test('the scrubber walks over the steps: picture, bars and all', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  const result = nextResult(page);
  await arena.runAttack();
  const { steps, natural } = await result;
  await arena.settled(arena.attack);
  const pictures = arena.attack.locator('.triptych canvas');
  const shown = () => pictures.evaluateAll((all) => all.map((canvas) => canvas.toDataURL()));
  const widths = () => arena.attack.locator('.bars .bar').evaluateAll((bars) => bars.map(({ style }) => Number.parseFloat(style.width)));
  const near = (bars, shares) => shares.every((value, place) => Math.abs(100 * value - bars[place]) < 0.1);
  assert.ok(near(await widths(), probabilities(steps.at(-1))), 'the last step');
  const scrubber = arena.attack.locator('.scrubber input');
  await scrubber.focus();
  await page.keyboard.press('Home');
  await arena.attack.getByText('Step 0 of 10', { exact: true }).waitFor();
  const [original, , result0] = await shown();
  assert.equal(original, result0, 'it starts at the untouched image');
  assert.ok(near(await widths(), natural.probabilities), 'and at what was said of it');
  await page.keyboard.press('ArrowRight');
  await arena.attack.getByText('Step 1 of 10', { exact: true }).waitFor();
  assert.ok(near(await widths(), probabilities(steps[1])));
  assert.notEqual((await shown())[2], original);
  await context.close();
});

test('images, record, link and command can be taken away', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const arena = new Arena(page);
  await arena.ready();
  const result = nextResult(page);
  await arena.runAttack();
  const { act, ...record } = await result;
  assert.equal(act, 1);

  const saved = [];
  page.on('download', (download) => saved.push(download));
  await page.getByRole('button', { name: 'Save images' }).click();
  const times = [];
  page.on('download', () => times.push(performance.now()));
  while (saved.length < 3) await page.waitForEvent('download');
  // Some browsers keep only the last of several that one task starts.
  for (let place = 1; place < times.length; place += 1) assert.ok(times[place] - times[place - 1] > 250, `${times}`);
  assert.deepEqual(saved.map((download) => download.suggestedFilename()), ['riposte-original.png', 'riposte-change.png', 'riposte-attacked.png']);
  for (const download of saved) {
    const bytes = await readFile(await download.path());
    assert.equal(bytes.subarray(1, 4).toString(), 'PNG');
    assert.equal(bytes.readUInt32BE(16), 28 * 16, 'each pixel a square of 16');
  }
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save record (JSON)' }).click();
  const kept = JSON.parse(await readFile(await (await download).path(), 'utf8'));
  // The same but for the moment; the address takes the run in a little later.
  assert.deepEqual({ ...kept, date: record.date, link: record.link }, record);
  await page.getByRole('button', { name: 'Copy link' }).click();
  await page.getByText('The link was copied.').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), page.url());
  await page.getByRole('button', { name: 'Copy command' }).click();
  await page.getByText('The command was copied.').waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^riposte duel --dataset digits --model \S+ --index 0 --preset \S+ --seed 0 .*--step-size 0.05 --steps 10/);
  await context.close();
});

test('a link is copied with the state wherever that lives, and by hand where the browser gives no clipboard', async () => {
  const teachers = await visit(site.browser, `${site.server.address}course.html`);
  await teachers.context.grantPermissions(['clipboard-read', 'clipboard-write']);
  // Its element keeps the state out of the address.
  const weak = new Arena(teachers.page, '#weak');
  await weak.ready();
  await weak.runAttack();
  await weak.attack.getByRole('button', { name: 'Copy link' }).click();
  await weak.attack.getByText('The link was copied.').waitFor();
  const link = await teachers.page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /[#&]image=test%3A\d+&.*epsilon=0\.1.*run=1/);
  // And in the frame that it documents.
  const frame = teachers.page.frameLocator('iframe.riposte');
  const attack = frame.getByRole('button', { name: 'Attack', exact: true });
  await attack.and(frame.locator(':enabled')).waitFor({ timeout: 120_000 });
  await attack.click();
  await frame.getByRole('button', { name: 'Copy link' }).click();
  await frame.getByText('The link was copied.').waitFor();
  await teachers.page.goto('about:blank');
  await teachers.page.goto(link);
  const arena = new Arena(teachers.page);
  await arena.attack.locator('.phase').filter({ hasText: /Fooled|held/ }).waitFor({ timeout: 120_000 });
  assert.equal(await arena.attack.locator('.slide .shown').innerText(), '0.1');
  await teachers.context.close();

  // As on plain http, which is no secure context.
  const plain = await visit(site.browser, `${site.server.address}?steps=3`);
  const bare = new Arena(plain.page);
  await bare.ready();
  await plain.page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
  await bare.runAttack();
  for (const button of ['Copy link', 'Copy command']) {
    await bare.attack.getByRole('button', { name: button }).click();
    const text = bare.attack.getByLabel('To copy by hand');
    await text.waitFor();
    assert.match(await text.inputValue(), button === 'Copy link' ? /#dataset=/ : /^riposte duel/);
    const selected = await text.evaluate((field) => field.selectionEnd - field.selectionStart);
    assert.equal(selected, (await text.inputValue()).length, 'selected');
  }
  assert.deepEqual(plain.complaints, []);
  await plain.context.close();
});

test('a drawing is not lost to the images that are tried after it', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&epsilon=0.01&steps=2&step-size=0.01`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.attack.getByRole('tab', { name: 'Draw' }).click();
  await arena.attack.locator('canvas.paper').scrollIntoViewIfNeeded();
  const box = await arena.attack.locator('canvas.paper').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height * 0.15);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height * 0.85, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => /image=px/.test(location.hash));
  const drawing = await page.evaluate(() => location.hash.match(/image=([^&]*)/)[1]);
  const paper = () => arena.attack.locator('canvas.paper').evaluate((canvas) => canvas.toDataURL());
  const drawn = await paper();
  await arena.ready();
  await arena.attack.getByLabel('What it shows (optional)').selectOption('1');
  await arena.ready();
  await arena.runAttack();
  await arena.attack.getByRole('button', { name: 'Try others until one falls' }).click();
  await arena.attack.locator('.phase').filter({ hasText: /[1-9] held so far/ }).waitFor();
  await arena.attack.getByRole('button', { name: 'Stop' }).click();
  await arena.attack.getByText('A test image is under attack, not your own.').waitFor();
  assert.equal(await paper(), drawn, 'the paper is as it was');
  await arena.attack.getByRole('tab', { name: 'Pick' }).click();
  await arena.attack.getByRole('tab', { name: 'Draw' }).click();
  assert.equal(await paper(), drawn, 'also after another tab');
  await arena.attack.getByRole('button', { name: 'Back to your own picture' }).click();
  await page.waitForFunction((drawing) => location.hash.includes(`image=${drawing}`) && location.hash.includes('label=1'), drawing);
  await arena.ready();
  await context.close();
});

test('steps that do not lead as far as the strength are said, and can be made longer', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist`);
  const arena = new Arena(page);
  await arena.ready();
  const short = arena.attack.locator('.short-of');
  assert.equal(await short.count(), 0);
  await arena.attack.getByLabel('Strength').fill('0.5');
  await short.getByText(/40 steps.* of 0\.01.* 0\.4 from the image/).waitFor();
  const attacked = async () => {
    const result = nextResult(page);
    await arena.runAttack();
    return result;
  };
  const change = async () => Number((await arena.attack.locator('.legend .value').innerText()).match(/[\d.]+/)[0]);
  await attacked();
  await arena.settled(arena.attack);
  assert.ok(await change() < 0.41);
  await short.getByRole('button', { name: 'Take longer steps' }).click();
  await short.waitFor({ state: 'detached' });
  await arena.ready();
  await attacked();
  await arena.settled(arena.attack);
  assert.ok(await change() > 0.45);
  await context.close();
});

test('another run is another run: a random start takes the next seed, and a riposte too', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:3&start=uniform&seed=7&steps=5&step-size=0.1&search-steps=5&search-step-size=0.1&post-iterations=2&post-batch-size=8`);
  const arena = new Arena(page);
  await arena.ready();
  const first = nextResult(page);
  await arena.runAttack();
  const { steps } = await first;
  const second = nextResult(page);
  await arena.attack.getByRole('button', { name: 'Attack with another seed' }).click();
  const again = await second;
  assert.equal(again.seed, 8);
  assert.notDeepEqual(again.steps, steps);
  await arena.runRiposte();
  await arena.riposte.getByRole('button', { name: 'Riposte with another seed' }).click();
  await page.waitForFunction(() => /seed=9/.test(location.hash) && /run=2/.test(location.hash), null, { timeout: 120_000 });
  await context.close();
});

test('where no copy was trained, the third act does not speak of one', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:3&epsilon=0.01&steps=1&step-size=0.01&search-epsilon=0.001&search-step-size=0.001&search-steps=1&counter-rounds=2&counter-steps=2`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  await arena.runCounter();
  const rounds = await arena.counter.locator('.rounds > li').allInnerTexts();
  assert.equal(rounds.length, 2);
  for (const round of rounds) assert.match(round, /against the classifier[^]*no neighbor/);
  await context.close();
});

test('a target that was missed is named', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:3&epsilon=0.01&steps=1&step-size=0.01&target=8`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  assert.match(await arena.attack.locator('.phase').innerText(), /held: still .\d., not .8./);
  await arena.attack.getByRole('button', { name: 'Copy command' }).waitFor();
  await context.close();
});

test('a link leads to the same run, seed and all', async () => {
  const random = `${SHORT.replace('test:0', 'test:3')}&start=uniform&seed=7`;
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
  const is = JSON.parse(await readFile(await (await download).path(), 'utf8'));
  assert.equal(is.index, 3);
  assert.deepEqual(is.steps, was.steps);
  assert.deepEqual(is.race, was.race);
  assert.deepEqual(is.answer, was.answer);
  await second.context.close();
});

test('a link of an earlier version leads where it led', async () => {
  // Short names, and a perturbation with its sizes in one word.
  const old = 'data=digits&image=test:3&preset=m-mnist&seed=2&eps=0.2&step=0.05&steps=6&start=uniform&stop=success&loss=ce&target=8&search=targeted'
    + '&s-eps=0.1&s-step=0.02&s-steps=7&train=fast:0.3:0.375&pool=all&augment=4&k=5&m=16&lr=0.01&momentum=0.5&nesterov=false&bn=batch';
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}#${old}`);
  const arena = new Arena(page);
  await arena.ready();
  assert.equal(await arena.element.locator('.notices p').count(), 0);
  const kept = new URLSearchParams(new URL(page.url()).hash.slice(1));
  const meant = {
    dataset: 'digits', image: 'test:3', preset: 'm-mnist', seed: '2', epsilon: '0.2', 'step-size': '0.05', steps: '6', start: 'uniform', stop: 'at-success',
    target: '8', search: 'targeted', 'search-epsilon': '0.1', 'search-step-size': '0.02', 'search-steps': '7', riposte: 'fast', 'post-data': 'whole-set',
    'post-augmentation': 'crop-flip', 'post-iterations': '5', 'post-batch-size': '16', 'post-learning-rate': '0.01', 'post-momentum': '0.5',
    'post-nesterov': 'off', 'post-batch-norm': 'batch-statistics',
  };
  for (const [key, value] of Object.entries(meant)) assert.equal(kept.get(key), value, key);
  const result = nextResult(page);
  await arena.runAttack();
  const record = await result;
  assert.deepEqual(record.riposte.perturbation, { fast: { epsilon: 0.3, step_size: 0.375 } });
  assert.deepEqual([record.attack.epsilon, record.attack.steps, record.target, record.seed], [0.2, 6, 8, 2]);
  assert.match(record.link, /dataset=digits/);
  assert.match(record.command, /^riposte duel --dataset digits .*--index 3 .*--target 8/);
  assert.deepEqual(record.classes.length, 10);
  assert.ok(!Number.isNaN(Date.parse(record.date)) && /^(cpu|webgpu)$/.test(record.device.id));
  assert.deepEqual(complaints, []);
  await context.close();
});

test('every setting of the table has a control, in the words of the table', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  for (const details of await page.locator('details').all()) await details.locator('summary').click();
  const losses = await arena.attack.getByRole('combobox', { name: /^Loss/ }).locator('option').allInnerTexts();
  assert.ok(losses.includes('cross-entropy') && losses.includes('margin'), losses.join(', '));
  await arena.attack.getByRole('combobox', { name: /^Loss/ }).selectOption('margin');
  const restarts = arena.attack.getByRole('textbox', { name: /^Restarts/ });
  await restarts.fill('2');
  await restarts.press('Enter');
  await arena.riposte.getByRole('combobox', { name: /^Post data/ }).selectOption('whole-set');
  await arena.riposte.getByRole('combobox', { name: /^Riposte/ }).selectOption('pgd');
  await arena.riposte.getByRole('textbox', { name: /^Post epsilon/ }).waitFor();
  await page.waitForFunction(() => /loss=margin/.test(location.hash) && /restarts=2/.test(location.hash) && /post-data=whole-set/.test(location.hash) && /riposte=pgd/.test(location.hash));
  const steps = arena.attack.getByRole('textbox', { name: /^Steps/ });
  await steps.fill('many');
  await steps.press('Enter');
  await arena.attack.getByText(/`many` is not a whole number/).waitFor();
  await context.close();
});

for (const dataset of ['digits', 'mnist', 'cifar10']) {
  test(`the first click on ${dataset} shows an image that the riposte saves, and how often it does`, async (context_) => {
    if (await lacks(site.server, dataset, context_)) return;
    const { page, context, complaints } = await visit(site.browser, `${site.server.address}#dataset=${dataset}`);
    const arena = new Arena(page);
    await arena.ready();
    assert.match(await arena.element.locator('.case').innerText(), /^Saved[^]*Of [\d,]+ test images, attacked with [\d./]+, [\d,]+ fool the classifier/);
    const started = performance.now();
    await arena.runAttack();
    assert.match(await arena.attack.locator('.headline').innerText(), /fooled/);
    await arena.riposte.getByRole('button', { name: 'Riposte', exact: true }).click();
    await arena.riposte.locator('.headline').waitFor({ timeout: 180_000 });
    console.log(`${dataset}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    assert.match(await arena.riposte.locator('.headline').innerText(), /^Saved/);
    assert.match(await arena.element.locator('.story').innerText(), /What just happened[^]*took it for[^]*trained a copy on[^]*act III[^]*Why it matters/);
    await arena.runCounter();
    await arena.counter.locator('.headline').waitFor();
    await portraits(page, arena, `first-${dataset}`);
    assert.deepEqual(complaints, []);
    await context.close();
  });
}

test('a run stops within a step when it is told to, and another can follow', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&post-iterations=500&post-batch-size=128&steps=10&step-size=0.05`);
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
  if (await lacks(site.server, 'mnist', context_)) return;
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=mnist&preset=m-mnist&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  await arena.runRiposte();
  await arena.runCounter();
  await portraits(page, arena, 'mnist');
  await context.close();
});

test('CIFAR-10 is attacked, answered and attacked again in color, where the site was built with a model of it', async (context_) => {
  if (await lacks(site.server, 'cifar10', context_)) return;
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}#dataset=cifar10&post-iterations=2&post-batch-size=8&steps=3&step-size=0.01&search-steps=3&search-step-size=0.01`);
  const arena = new Arena(page);
  await arena.ready();
  assert.equal(await arena.attack.getByRole('tab', { name: 'Draw' }).count(), 0, 'nobody draws a photograph');
  assert.ok(await arena.attack.getByRole('button', { name: /airplane, test image/ }).count() > 0, 'the gallery names what it shows');
  const colored = await arena.attack.locator('.thumbnail canvas').first().evaluate((canvas) => {
    const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return { width, height, colored: data.some((value, place) => place % 4 === 0 && value !== data[place + 2]) };
  });
  assert.deepEqual(colored, { width: 32, height: 32, colored: true });
  const record = nextResult(page);
  await arena.runAttack();
  assert.deepEqual((await record).images.attacked.shape, [3, 32, 32]);
  const amounts = arena.riposte.getByLabel('Post-training');
  await amounts.locator('option').filter({ hasText: /full: .*about|full: .*under/ }).waitFor({ state: 'attached', timeout: 120_000 });
  const answered = nextResult(page);
  await arena.runRiposte();
  const { losses, riposted } = await answered;
  assert.equal(losses.length, riposted ? 2 : 0);
  await arena.runCounter();
  await portraits(page, arena, 'cifar10');
  assert.deepEqual(complaints, []);
  await context.close();
});

test('a photograph becomes a small color picture, where the site has CIFAR-10', async (context_) => {
  if (await lacks(site.server, 'cifar10', context_)) return;
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=cifar10&steps=2`);
  const arena = new Arena(page);
  await arena.ready();
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
  const { index, images } = await record;
  assert.equal(index, null, 'it is in no test set');
  assert.deepEqual(images.natural.shape, [3, 32, 32]);
  const [red, green] = [images.natural.values[0], images.natural.values[1024]];
  assert.ok(Math.abs(red - 0xc0 / 255) < 0.01 && Math.abs(green - 0x30 / 255) < 0.01, `planes of red and green, not ${red} and ${green}`);
  await context.close();
});
