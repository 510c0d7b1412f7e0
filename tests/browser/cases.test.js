// Prepared cases: duels that were fought when the site was built.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, lacks, manifest, nextResult, screenshot, stage, visit } from './browser.js';

const NAMES = { answered: 'Saved', failed: 'Not saved', 'no-neighbor': 'No neighbor', 'not-fooled': 'Not needed', spoiled: 'Spoiled' };

const site = stage();

/** The cases of the model that a dataset opens with. */
async function prepared(dataset) {
  const { models } = await manifest(site.server);
  return models.find(({ card, prepared }) => card.dataset === dataset && prepared)?.prepared;
}

const panel = (page) => page.locator('riposte-arena .case');

/** Waits until the three pictures are there, with something to see. */
async function loaded(page) {
  const pictures = panel(page).locator('img');
  for (let tries = 0; tries < 100; tries += 1) {
    const there = await pictures.evaluateAll((all) => all.filter(({ complete, naturalWidth }) => complete && naturalWidth > 0).length);
    if (there === 3) return;
    await page.waitForTimeout(50);
  }
  throw new Error('the pictures of the case did not come');
}

test('the first case is seen without the page\u2019s code, the engine and the classifier', async () => {
  site.server.state.fault = (path) => (/riposte-page|worker-|engine|\.safetensors|\.pack/.test(path) ? 'missing' : undefined);
  const context = await site.browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  // Kept from starting: it would say that its code is missing.
  await page.route('**/riposte.js', (route) => route.abort());
  await page.goto(site.server.address, { waitUntil: 'load' });
  await loaded(page);
  assert.match(await panel(page).locator('.case-verdict').innerText(), /^Saved\. The attack makes the classifier say .*The defense adapts and answers/);
  await screenshot(page, 'case-first-paint');
  site.server.state.fault = () => undefined;
  await context.close();
});

test('on a slow line the case is seen before 100 KB have arrived', async () => {
  const context = await site.browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 150, downloadThroughput: 200_000, uploadThroughput: 100_000 });
  let received = 0;
  session.on('Network.dataReceived', ({ encodedDataLength, dataLength }) => { received += encodedDataLength || dataLength; });
  let tell;
  const seen = new Promise((done) => { tell = done; });
  await page.exposeFunction('seen', (time) => tell({ time, received }));
  await context.addInitScript(() => {
    const look = () => {
      const pictures = [...document.querySelectorAll('.case img')];
      if (pictures.length === 3 && pictures.every(({ complete, naturalWidth }) => complete && naturalWidth > 0)) requestAnimationFrame(() => globalThis.seen(performance.now()));
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.goto(site.server.address, { waitUntil: 'commit' });
  const { time, received: bytes } = await seen;
  console.log(`seen after ${time.toFixed(0)} ms and ${bytes} bytes at 1.6 Mbit/s`);
  assert.ok(bytes < 100_000, `${bytes} bytes`);
  await context.close();
});

test('who asks for something else is not shown the case of the page for a moment', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:3`);
  assert.equal(await page.evaluate(() => document.querySelector('riposte-arena > .case')), null);
  const arena = new Arena(page);
  await arena.ready();
  assert.equal(await panel(page).locator('.case-verdict').count(), 0, 'no case stands');
  assert.ok(await panel(page).getByRole('button', { name: /^Saved/ }).count() > 0, 'but they are offered');
  await context.close();
});

for (const dataset of ['digits', 'mnist', 'cifar10']) {
  test(`each prepared case of ${dataset} comes out the same when it is run here`, async (context_) => {
    if (await lacks(site.server, dataset, context_)) return;
    const offered = await prepared(dataset);
    assert.ok(offered.cases.length >= 3, 'most ways to end have a case');
    const { page, context, complaints } = await visit(site.browser, `${site.server.address}#dataset=${dataset}`, { reducedMotion: 'reduce' });
    const arena = new Arena(page);
    await arena.ready();
    for (const prepared_ of offered.cases) {
      const name = NAMES[prepared_.outcome];
      const button = panel(page).getByRole('button', { name: new RegExp(`^${name}`) });
      await button.click();
      await page.waitForFunction((image) => location.hash.includes(`image=test%3A${image}&`), prepared_.image);
      assert.equal(await button.getAttribute('aria-pressed'), 'true');
      await loaded(page);
      assert.ok((await panel(page).locator('.case-verdict').innerText()).startsWith(`${name}.`));
      const records = await arena.element.evaluateHandle((element) => {
        const records = [];
        element.addEventListener('riposte', ({ detail }) => records.push(detail));
        return records;
      });
      await arena.ready();
      const started = performance.now();
      await panel(page).getByRole('button', { name: 'Run it yourself' }).click();
      await panel(page).getByText('You ran it').waitFor({ timeout: 180_000 });
      console.log(`${dataset}, ${prepared_.outcome}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
      assert.match(await panel(page).locator('.phase').innerText(), /came out the same/);
      const record = (await records.jsonValue()).at(-1);
      assert.deepEqual([record.outcome, record.index, record.seed], [prepared_.outcome, prepared_.image, prepared_.seed]);
      for (const [place, opinion] of [record.natural, record.attacked, record.answer].entries()) {
        const { class: class_, probability } = prepared_.said[place];
        assert.equal(opinion.class, class_);
        // Rounding in another order, through forty steps of an attack and fifty of training.
        assert.ok(Math.abs(opinion.probabilities[class_] - probability) < 0.03, `${opinion.probabilities[class_]} and ${probability}`);
      }
    }
    await screenshot(page, `cases-${dataset}`);
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test(`the prepared case of ${dataset} that fell to an attacker who knows falls here, too`, async (context_) => {
    if (await lacks(site.server, dataset, context_)) return;
    const { fell, cases } = await prepared(dataset);
    assert.ok(fell, 'there is one');
    assert.equal(fell.outcome, 'answered', 'the attack that does not know of the defense lost');
    assert.ok(cases.every(({ image }) => image !== fell.image));
    const { page, context, complaints } = await visit(site.browser, `${site.server.address}#dataset=${dataset}`, { reducedMotion: 'reduce' });
    page.setDefaultTimeout(300_000);
    const arena = new Arena(page);
    await arena.ready();
    const button = panel(page).getByRole('button', { name: 'Fell to an attacker who knows' });
    await button.click();
    await page.waitForFunction((image) => location.hash.includes(`image=test%3A${image}&`), fell.image);
    assert.equal(await button.getAttribute('aria-pressed'), 'true');
    assert.equal(await panel(page).locator('button[aria-pressed=true]').count(), 1);
    await loaded(page);
    const verdict = await panel(page).locator('.case-verdict').innerText();
    assert.match(verdict, /^Fell to an attacker who knows\. The attack of act I was answered with .* and that is right\. The defense falls to the picture of round \d: /);
    await arena.ready();
    const records = await arena.element.evaluateHandle((element) => {
      const records = [];
      element.addEventListener('riposte', ({ detail }) => records.push(detail));
      return records;
    });
    const started = performance.now();
    await panel(page).getByRole('button', { name: 'Run it yourself' }).click();
    await panel(page).getByText('You ran it').waitFor();
    console.log(`${dataset}, fell: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    assert.match(await panel(page).locator('.phase').innerText(), /came out the same, in \d rounds/);
    const { counter } = (await records.jsonValue()).at(-1);
    for (const [place, { answer, pair, fooled, truth }] of fell.course.rounds.entries()) {
      const here = counter.rounds[place];
      assert.deepEqual([here.answer, here.pair, here.fooled], [answer, pair, fooled]);
      // As of the probabilities above.
      assert.ok(Math.abs(here.truth - truth) < 0.05, `${here.truth} and ${truth}`);
    }
    // Its own headline says the same as the case.
    assert.ok(verdict.endsWith(await arena.counter.locator('.headline').innerText()));
    await screenshot(page, `case-fell-${dataset}`);
    // And its link brings it back.
    const link = page.url();
    await page.goto('about:blank');
    await page.goto(link.replace(/&run=3/, ''));
    await panel(page).locator('.case-verdict').filter({ hasText: /^Fell to an attacker who knows/ }).waitFor();
    assert.deepEqual(complaints, []);
    await context.close();
  });

  test(`how often the duels over ${dataset} end in each way is said, and which way has no case`, async (context_) => {
    if (await lacks(site.server, dataset, context_)) return;
    const { odds, cases } = await prepared(dataset);
    const { page, context } = await visit(site.browser, `${site.server.address}#dataset=${dataset}`);
    await new Arena(page).ready();
    assert.equal(odds.ended.reduce((sum, [, count]) => sum + count, 0), odds.images);
    for (const { outcome } of cases) assert.equal(await panel(page).getByRole('button', { name: NAMES[outcome], exact: true }).count(), 1);
    const of = (outcome) => odds.ended.find(([known]) => known === outcome)[1];
    const fooled = of('answered') + of('failed') + of('no-neighbor');
    const said = (await panel(page).locator('.hint').innerText()).replaceAll(/(\d),(\d)/g, '$1$2');
    assert.ok(new RegExp(`^Of ${odds.images} test images, attacked with [\\d./]+, ${fooled} fool the classifier: the defense puts ${of('answered')} right again, and spoils ${of('spoiled')} of the others[.]`).test(said), said);
    const lacking = Object.keys(NAMES).filter((outcome) => !cases.some((case_) => case_.outcome === outcome));
    const hint = await panel(page).locator('.hint').innerText();
    for (const outcome of lacking) assert.match(hint, new RegExp(`No case is shown of.*\u201c${NAMES[outcome]}\u201d`));
    await context.close();
  });
}

test('a case that was changed stands no more, and its link brings it back', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
  const arena = new Arena(page);
  await arena.ready();
  await panel(page).getByRole('button', { name: /^Spoiled/ }).click();
  await page.waitForFunction(() => /image=test%3A/.test(location.hash));
  const link = page.url();
  await arena.ready();
  await arena.attack.getByLabel('Strength').fill('0.1');
  await page.waitForFunction(() => document.querySelector('riposte-arena').shadowRoot.querySelector('.case-verdict') === null);
  await page.goto('about:blank');
  await page.goto(link);
  await panel(page).locator('.case-verdict').filter({ hasText: /^Spoiled/ }).waitFor();
  await arena.ready();
  const result = nextResult(page);
  await panel(page).getByRole('button', { name: 'Run it yourself' }).click();
  assert.equal((await result).act, 1);
  await context.close();
});

for (const dataset of ['digits', 'mnist', 'cifar10']) {
  test(`from an undefended classifier of ${dataset} to one that answers back, each step is what it says when it is run`, async (context_) => {
    if (await lacks(site.server, dataset, context_)) return;
    const { sequences } = await manifest(site.server);
    const { steps } = sequences.find((sequence) => sequence.dataset === dataset);
    const epsilon = steps.map(({ case: { settings } }) => settings.find(([name]) => name === 'epsilon')?.[1]);
    assert.equal(epsilon[0], epsilon[1], 'the same strength for the undefended and the hardened one');
    const value = (text) => text.split('/').map(Number).reduce((above, below) => above / below);
    const most = { digits: 0.16, mnist: 0.16, cifar10: 4 / 255 }[dataset];
    assert.ok(value(epsilon[0]) <= most, 'one that hardly shows');
    const { page, context, complaints } = await visit(site.browser, `${site.server.address}#dataset=${dataset}`, { reducedMotion: 'reduce' });
    const arena = new Arena(page);
    await arena.ready();
    const says = [/a change that hardly shows is enough/, /holds against the same change/, /A change [\d.]+ times as strong fools it all the same\. Now it adapts before it answers/];
    const verdicts = [/^Fooled\. The classifier says .*, and the image shows .*\. It has no defense\.$/, /^Held\. The classifier still says .*, and that is right\.$/, /^Saved\./];
    const fell = [true, false, true];
    for (const [place, name] of ['Undefended', 'Hardened', 'Answers back'].entries()) {
      await panel(page).getByRole('button', { name: `${place + 1}. ${name}` }).click();
      assert.match(await panel(page).locator('.step-says').innerText(), says[place]);
      // Before its classifier, too.
      await loaded(page);
      assert.match(await panel(page).locator('.case-verdict').innerText(), verdicts[place]);
      assert.equal(await panel(page).locator('.case-answer').count(), place === 2 ? 1 : 0, 'a defense is spoken of where there is one');
      await page.waitForFunction(({ model, case: { image } }) => location.hash.includes(`model=${model}&`) && location.hash.includes(`image=test%3A${image}&`), steps[place]);
      await arena.ready();
      const first = nextResult(page);
      await panel(page).getByRole('button', { name: 'Run it yourself' }).click();
      const record = await first;
      assert.equal(record.model, steps[place].model);
      assert.equal(record.attacked.class !== record.label, fell[place], name);
      await panel(page).getByText('You ran it, and it came out the same').waitFor({ timeout: 120_000 });
      assert.equal(await arena.riposte.locator('.headline').count(), place === 2 ? 1 : 0, 'the classifier stands alone until the last step');
      await screenshot(page, `sequence-${dataset}-${place + 1}`);
      // The other cases are a click away from each step.
      assert.equal(await panel(page).getByRole('button', { name: 'Saved', exact: true }).count(), 1);
    }
    // From the undefended classifier, too.
    await panel(page).getByRole('button', { name: '1. Undefended' }).click();
    await page.waitForFunction((model) => location.hash.includes(`model=${model}&`), steps[0].model);
    await panel(page).getByRole('button', { name: 'Not saved', exact: true }).click();
    await page.waitForFunction((model) => location.hash.includes(`model=${model}&`), steps[2].model);
    assert.match(await panel(page).locator('.case-verdict').innerText(), /^Not saved\./);
    assert.deepEqual(complaints, []);
    await context.close();
  });
}

test('an undefended classifier, once it is chosen, begins with a strength that hardly shows', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`);
  const arena = new Arena(page);
  await arena.ready();
  assert.equal(await arena.attack.locator('.slide .shown').innerText(), '0.3');
  await arena.element.getByRole('combobox', { name: 'Classifier' }).selectOption('digits-undefended');
  await page.waitForFunction(() => location.hash.includes('model=digits-undefended&'));
  await arena.ready();
  const { sequences } = await manifest(site.server);
  const [, strength] = sequences.find((sequence) => sequence.dataset === 'digits').steps[0].case.settings[0];
  assert.equal(await arena.attack.locator('.slide .shown').innerText(), strength);
  await panel(page).locator('.step-says').filter({ hasText: 'hardly shows' }).waitFor();
  await context.close();
});
