import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { Arena, nextResult, screenshot, stage, visit } from './browser.js';

const SHORT = '#dataset=digits&preset=m-mnist&image=test:0&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05';
const axe = createRequire(import.meta.url).resolve('axe-core');

const site = stage();

/** What axe finds, however small. */
async function obstacles(page) {
  await page.addScriptTag({ content: await readFile(axe, 'utf8') });
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ['violations'] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.flat().join(' ')).join(', ')}`);
}

for (const colorScheme of ['light', 'dark']) {
  test(`nothing stands in the way of assistive technology (${colorScheme})`, async () => {
    const { page, context } = await visit(site.browser, site.server.address + SHORT, { colorScheme, reducedMotion: 'reduce' });
    const arena = new Arena(page);
    await arena.ready();
    await arena.runAttack();
    await arena.runRiposte();
    await arena.runCounter();
    for (const details of await page.locator('details').all()) await details.locator('summary').click();
    assert.deepEqual(await obstacles(page), []);
    await screenshot(page, `open-desktop-${colorScheme}`);
    await context.close();
  });

  test(`the page for teachers, the frame and trouble stand in nobody's way either (${colorScheme})`, async () => {
    const teachers = await visit(site.browser, `${site.server.address}course.html`, { colorScheme, reducedMotion: 'reduce' });
    await new Arena(teachers.page, '#strong').ready();
    await new Arena(teachers.page, '#weak').runAttack();
    assert.deepEqual(await obstacles(teachers.page), []);
    await screenshot(teachers.page, `course-desktop-${colorScheme}`);
    await teachers.context.close();

    const frame = await visit(site.browser, `${site.server.address}embed.html?dataset=digits&acts=1&theme=${colorScheme}`, { reducedMotion: 'reduce' });
    await new Arena(frame.page).ready();
    assert.deepEqual(await obstacles(frame.page), []);
    await screenshot(frame.page, `frame-desktop-${colorScheme}`);
    await frame.context.close();

    site.server.state.fault = (path) => (path.endsWith('.safetensors') ? 'missing' : undefined);
    const broken = await visit(site.browser, `${site.server.address}#dataset=digits`, { colorScheme, reducedMotion: 'reduce' });
    await new Arena(broken.page).element.getByRole('alert').waitFor({ timeout: 120_000 });
    site.server.state.fault = () => undefined;
    assert.deepEqual(await obstacles(broken.page), []);
    await screenshot(broken.page, `trouble-desktop-${colorScheme}`);
    await broken.context.close();
  });
}

test('who wants no motion gets none', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT, { reducedMotion: 'reduce' });
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  const { value, max } = await arena.attack.locator('.scrubber input').evaluate(({ value, max }) => ({ value, max }));
  assert.deepEqual([value, max], ['10', '10'], 'the last step is shown at once');
  const moving = await arena.element.evaluate((element) => element.shadowRoot.getAnimations().length);
  assert.equal(moving, 0);
  await context.close();
});

test('the page fits a phone, and a finger can draw on it', async () => {
  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
  const { page, context } = await visit(site.browser, site.server.address + SHORT, phone);
  const arena = new Arena(page);
  await arena.ready();
  await arena.attack.getByRole('tab', { name: 'Draw' }).tap();
  const paper = arena.attack.locator('canvas.paper');
  await paper.scrollIntoViewIfNeeded();
  const box = await paper.boundingBox();
  // A one, from top to bottom, by touch.
  const session = await context.newCDPSession(page);
  const touch = (type, y) => session.send('Input.dispatchTouchEvent', {
    type, touchPoints: type === 'touchEnd' ? [] : [{ x: box.x + box.width / 2, y: box.y + box.height * y }],
  });
  await touch('touchStart', 0.15);
  for (const y of [0.3, 0.45, 0.6, 0.75, 0.85]) await touch('touchMove', y);
  await touch('touchEnd', 0.85);
  await arena.attack.getByLabel('What it shows (optional)').waitFor();
  await arena.ready();
  assert.match(page.url(), /image=px/, 'the drawing is in the link');
  await arena.runAttack();
  await arena.runRiposte();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, 'nothing is wider than the screen');
  await screenshot(page, 'phone-light');
  await context.close();
});

test('a pen draws, and the palm beside it does not', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  await arena.attack.getByRole('tab', { name: 'Draw' }).click();
  const paper = arena.attack.locator('canvas.paper');
  await paper.scrollIntoViewIfNeeded();
  const inked = () => paper.evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, place) => place % 4 === 0 && value > 128).length;
  });
  const point = (type, pointerId, pointerType, x, y) => paper.evaluate((canvas, [type, pointerId, pointerType, x, y]) => {
    const box = canvas.getBoundingClientRect();
    const at = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
    canvas.dispatchEvent(new PointerEvent(type, { pointerId, pointerType, bubbles: true, cancelable: true, ...at }));
  }, [type, pointerId, pointerType, x, y]);
  await point('pointerdown', 7, 'pen', 0.5, 0.2);
  await point('pointermove', 7, 'pen', 0.5, 0.5);
  const before = await inked();
  assert.ok(before > 1000, `${before} pixels of ink`);
  await point('pointerdown', 8, 'touch', 0.9, 0.9);
  await point('pointermove', 8, 'touch', 0.8, 0.9);
  await point('pointerup', 8, 'touch', 0.8, 0.9);
  assert.equal(await inked(), before);
  await point('pointermove', 7, 'pen', 0.5, 0.8);
  await point('pointerup', 7, 'pen', 0.5, 0.8);
  assert.ok(await inked() > before);
  await page.waitForFunction(() => /image=px/.test(location.hash));
  await arena.ready();
  await context.close();
});

test('all three acts are reached and run with the keyboard alone', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  const pressed = async (name) => {
    for (let tabs = 0; tabs < 80; tabs += 1) {
      await page.keyboard.press('Tab');
      const said = await page.evaluate(() => {
        let at = document.activeElement;
        while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
        return { name: at?.textContent.trim(), outlined: at && getComputedStyle(at).outlineStyle !== 'none' };
      });
      if (said.name !== name) continue;
      assert.ok(said.outlined, `the focus on \u201c${name}\u201d can be seen`);
      return page.keyboard.press('Enter');
    }
    throw new Error(`no way to \u201c${name}\u201d with the keyboard`);
  };
  await pressed('Attack');
  await arena.attack.locator('.phase').filter({ hasText: /Fooled|held/ }).waitFor();
  await pressed('Riposte');
  await arena.riposte.locator('.verdict').waitFor({ timeout: 180_000 });
  await pressed('Attack the defense');
  await arena.counter.locator('.headline').waitFor({ timeout: 240_000 });
  await context.close();
});

test('words of the field are explained under the pointer, at the focus and under a finger, within the page', async () => {
  for (const viewport of [{ width: 1200, height: 800 }, { width: 320, height: 640 }]) {
    const { page, context } = await visit(site.browser, site.server.address, { viewport });
    const arena = new Arena(page);
    await arena.ready();
    const term = arena.attack.getByRole('button', { name: 'gradient' });
    const meaning = arena.attack.getByRole('tooltip').filter({ hasText: 'For every pixel' });
    assert.ok(!(await meaning.isVisible()));
    await term.hover();
    await meaning.waitFor();
    const box = await meaning.boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= viewport.width, `${JSON.stringify(box)} at ${viewport.width}`);
    // Whoever reads it with a lens moves the pointer onto it.
    await meaning.hover();
    assert.ok(await meaning.isVisible());
    await page.mouse.move(1, 1);
    await meaning.waitFor({ state: 'hidden' });
    await term.focus();
    await meaning.waitFor();
    await page.keyboard.press('Escape');
    await meaning.waitFor({ state: 'hidden' });
    assert.match(await term.evaluate((button) => button.getRootNode().getElementById(button.getAttribute('aria-describedby')).textContent), /^For every pixel/);
    // Each word once in a text, in all three acts.
    assert.equal(await arena.riposte.locator('header .term').filter({ hasText: 'classifier' }).count(), 1);
    assert.ok((await arena.counter.locator('header .term').count()) >= 2);
    await context.close();
  }
});

test('image and strength are chosen with the keyboard alone', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  await arena.attack.locator('.thumbnail[tabindex="0"]').focus();
  const before = page.url();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await page.waitForFunction((url) => location.href !== url, before);
  await arena.ready();
  await arena.attack.getByLabel('Strength').focus();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => /[#&]epsilon=0.29/.test(location.hash));
  await arena.attack.getByRole('button', { name: /^Attack/ }).focus();
  await page.keyboard.press('Enter');
  await arena.attack.locator('.phase').filter({ hasText: /Fooled|held/ }).waitFor();
  await context.close();
});

test('two elements on a page run side by side, on one engine', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}course.html`);
  const weak = new Arena(page, '#weak');
  const strong = new Arena(page, '#strong');
  await Promise.all([weak.ready(), strong.ready()]);
  const results = Promise.all([nextResult(page, '#weak'), nextResult(page, '#strong')]);
  await Promise.all([weak.runAttack(), strong.runAttack()]);
  const [small, large] = await results;
  assert.ok(Math.abs(small.attack.epsilon - 0.1) < 1e-6);
  assert.ok(Math.abs(large.attack.epsilon - 0.3) < 1e-6);
  assert.notDeepEqual(small.images.attacked, large.images.attacked);
  assert.equal(page.workers().length, 2, 'one engine for the page, one for the frame in it');
  await context.close();
});

test('an element whose script a bundler took away from the site finds its files where it is told', async () => {
  const { page, context } = await visit(site.browser, site.server.address);
  const script = await (await fetch(`${site.server.address}riposte.js`)).text();
  site.server.state.instead.set('app/bundle.js', script);
  site.server.state.instead.set('app/index.html', `<!doctype html><title>App</title><script type="module" src="bundle.js"></script>
    <riposte-arena assets=".." dataset="digits" acts="1" hash="off"></riposte-arena>`);
  await page.goto(`${site.server.address}app/index.html`);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  assert.ok(!site.server.state.requests.some((path) => path.startsWith('app/assets')));
  await context.close();
});

test('a frame without an origin of its own works where the server lets others read its files, and else says what it needs', async () => {
  const { page, context } = await visit(site.browser, site.server.address);
  const open = async (sandbox) => {
    await page.setContent(`<iframe sandbox="${sandbox}" src="${site.server.address}embed.html?dataset=digits&acts=1&controls=run&steps=5"></iframe>`);
    return page.frameLocator('iframe');
  };
  try {
    site.server.state.headers = { 'access-control-allow-origin': '*' };
    const frame = await open('allow-scripts');
    const button = frame.getByRole('button', { name: /^Attack/ });
    await button.and(frame.locator(':enabled')).waitFor({ timeout: 120_000 });
    await button.click();
    await frame.locator('.phase').filter({ hasText: /Fooled|held/ }).first().waitFor();
  } finally {
    site.server.state.headers = {};
  }
  for (const sandbox of ['allow-scripts', '']) {
    const link = (await open(sandbox)).getByRole('link', { name: 'open it by itself' });
    await link.waitFor();
    assert.match(await link.getAttribute('href'), /embed/);
  }
  await context.close();
});

test('a frame tells its height and its results', async () => {
  const { page, context } = await visit(site.browser, site.server.address);
  await page.setContent(`<iframe src="${site.server.address}embed.html?dataset=digits&acts=1&controls=run&steps=5"></iframe>`);
  const heard = page.evaluate(() => new Promise((done) => {
    let height;
    const resized = [];
    addEventListener('message', ({ data }) => {
      if (data.type === 'riposte:height') height = data.height;
      // What Canvas and what Sakai hear.
      if (data.subject === 'lti.frameResize') resized.push(data.height);
      if (typeof data === 'string') resized.push(JSON.parse(data).height);
      if (data.type === 'riposte:result') done({ height, resized, result: data.result });
    });
  }));
  const frame = page.frameLocator('iframe');
  const button = frame.getByRole('button', { name: /^Attack/ });
  await button.and(frame.locator(':enabled')).waitFor({ timeout: 120_000 });
  assert.equal(await frame.locator('.setup').count(), 0, 'choices are hidden');
  await button.click();
  const { height, resized, result } = await heard;
  assert.ok(height > 200);
  assert.deepEqual(resized.slice(-2), [height, height]);
  assert.equal(result.act, 1);
  assert.equal(result.attack.steps, 5);
  await context.close();
});

test('anchors lead to their heading and leave the run as it is', async () => {
  const { page, context, complaints } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  const said = await arena.attack.locator('.phase').innerText();
  const heading = page.getByRole('heading', { name: 'How it works' });
  const inSight = (locator) => locator.evaluate((element) => {
    const { top, bottom } = element.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  });
  await page.getByRole('link', { name: 'How it works' }).click();
  await page.waitForFunction(() => /[#&]run=1/.test(location.hash));
  assert.ok(await inSight(heading), 'the heading is in sight');
  assert.equal(await arena.attack.locator('.phase').innerText(), said, 'the run is still there');
  await page.goBack();
  await page.waitForTimeout(300);
  assert.equal(await arena.attack.locator('.phase').innerText(), said, 'and on the way back');
  await page.getByRole('link', { name: 'Skip to the experiment' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForTimeout(300);
  assert.equal(await arena.attack.locator('.phase').innerText(), said);
  assert.match(page.url(), /image=test/, 'a reload would bring the run back');
  assert.deepEqual(complaints, []);
  await context.close();

  const direct = await visit(site.browser, `${site.server.address}#how-it-works`);
  await new Arena(direct.page).ready();
  assert.ok(await inSight(direct.page.getByRole('heading', { name: 'How it works' })), 'whoever comes for the heading stays there');
  await direct.context.close();
});

test('another address in the bar begins another run', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits&preset=m-mnist&image=test:1`);
  const arena = new Arena(page);
  await arena.ready();
  await page.evaluate(() => { location.hash = '#dataset=digits&preset=m-mnist&image=test:5'; });
  await page.waitForFunction(() => /image=test%3A5&/.test(location.hash));
  await arena.ready();
  await context.close();
});

test('two elements without an id keep their states apart in one address', async () => {
  const { page, context } = await visit(site.browser, site.server.address);
  const two = `<riposte-arena dataset="digits" image="test:1" epsilon="0.1"></riposte-arena>
    <riposte-arena dataset="digits" image="test:5" epsilon="0.2"></riposte-arena><script type="module" src="${site.server.address}riposte.js"></script>`;
  await page.route('**/two.html', (route) => route.fulfill({ contentType: 'text/html', body: two }));
  await page.goto(`${site.server.address}two.html`);
  const [first, second] = [new Arena(page, 'riposte-arena >> nth=0'), new Arena(page, 'riposte-arena >> nth=1')];
  await Promise.all([first.ready(), second.ready()]);
  // Which of the two wrote last comes last in the address.
  await page.waitForFunction(() => {
    const keys = new URLSearchParams(location.hash.slice(1));
    return keys.get('image') === 'test:1' && keys.get('2.image') === 'test:5';
  });
  await page.reload();
  await Promise.all([first.ready(), second.ready()]);
  for (const [arena, number, strength] of [[first, 1, '0.1'], [second, 5, '0.2']]) {
    assert.match(await arena.attack.locator('.thumbnail.chosen').getAttribute('aria-label'), new RegExp(`test image ${number}$`));
    assert.equal(await arena.attack.locator('.slide .shown').innerText(), strength);
  }
  await context.close();
});

test('a framework may set any attribute as a property: what every element has already is the attribute here', async () => {
  const { page, context, complaints } = await visit(site.browser, `${site.server.address}embed.html`);
  await new Arena(page).ready();
  const settings = await readFile(join(import.meta.dirname, '../../crates/python/riposte/_settings.py'), 'utf8');
  const names = [...settings.matchAll(/^ {4}(\w+):/gm)].map(([, name]) => name.replaceAll('_', '-'));
  assert.ok(names.length > 40, `${names}`);
  const own = ['assets', 'dataset', 'model', 'image', 'preset', 'seed', 'device', 'acts', 'controls', 'run', 'hash', 'theme'];
  const taken = await page.evaluate((names) => names.filter((name) => name in HTMLElement.prototype), [...own, ...names]);
  assert.deepEqual(taken, ['dataset']);
  const set = await page.evaluate(() => {
    const element = document.createElement('riposte-arena');
    Object.assign(element, { dataset: 'digits' });
    element.dataset.note = 'kept';
    const found = [element.getAttribute('dataset'), element.getAttribute('data-note')];
    element.dataset = null;
    return [...found, element.hasAttribute('dataset')];
  });
  assert.deepEqual(set, ['digits', 'kept', false]);
  assert.deepEqual(complaints, []);
  await context.close();
});

test('the signs between the pictures stand beside their middle, with choices and without', async () => {
  for (const controls of ['all', 'run']) {
    const { page, context } = await visit(site.browser, `${site.server.address}embed.html?controls=${controls}${SHORT}`);
    const arena = new Arena(page);
    await arena.ready();
    await arena.runAttack();
    const middle = (locator) => locator.evaluate((element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return (top + bottom) / 2;
    });
    const picture = await middle(arena.attack.locator('.triptych .plate').first());
    const operator = arena.attack.locator('.triptych .operator').first();
    const [sign, { height }] = [await middle(operator), await operator.boundingBox()];
    assert.ok(Math.abs(picture - sign) < height / 2, `${controls}: the sign is at ${sign}, the picture's middle at ${picture}`);
    await context.close();
  }
});

test('each stylesheet is linked once', async () => {
  for (const page_ of ['', 'course.html', 'embed.html?dataset=digits']) {
    const { page, context } = await visit(site.browser, site.server.address + page_);
    await page.locator('riposte-arena[ready]').first().waitFor();
    const links = await page.evaluate(() => [...document.querySelectorAll('link[rel=stylesheet]')].map(({ href }) => href));
    assert.deepEqual(links, [...new Set(links)]);
    await context.close();
  }
});

test('where a visitor\u2019s own colors rule, and on paper, nothing that tells something is lost', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT, { forcedColors: 'active', reducedMotion: 'reduce' });
  const arena = new Arena(page);
  await arena.ready();
  await arena.runAttack();
  const style = (locator, property) => locator.evaluate((element, property) => getComputedStyle(element).getPropertyValue(property), property);
  const ground = await style(page.locator('body'), 'background-color');
  const mark = arena.attack.locator('.play-mark').first();
  assert.notEqual(await style(mark, 'border-left-color'), await style(mark, 'border-top-color'), 'the play mark is a triangle');
  assert.notEqual(await style(arena.attack.locator('.bars .tick').first(), 'background-color'), ground, 'the ticks are seen');
  const [chosen, other] = [arena.attack.locator('.tabs [aria-selected=true]'), arena.attack.locator('.tabs [aria-selected=false]').first()];
  assert.notEqual(await style(chosen, 'border-bottom-width'), await style(other, 'border-bottom-width'), 'the chosen tab');
  assert.equal(await style(arena.attack.locator('.thumbnail.chosen'), 'outline-style'), 'solid', 'the chosen thumbnail');
  await screenshot(page, 'forced-colors');
  await page.emulateMedia({ media: 'print', forcedColors: 'none' });
  for (const part of ['.bars .bar', '.swatch', '.plot .mark']) {
    assert.equal(await style(arena.attack.locator(part).first(), 'print-color-adjust'), 'exact', part);
  }
  await context.close();
});

test('opened as a file, or without JavaScript, the page says what it needs', async () => {
  const file = await visit(site.browser, `file://${process.env.RIPOSTE_SITE}/index.html`);
  await file.page.getByText('must come from a web server, not from a file').waitFor();
  assert.equal(await file.page.getByText('Loading').count(), 0);
  await file.context.close();
  const plain = await visit(site.browser, site.server.address, { javaScriptEnabled: false });
  await plain.page.getByText('The experiment needs JavaScript').waitFor();
  assert.equal(await plain.page.getByText('Loading').count(), 0);
  await plain.context.close();
});

test('on a phone the case and the button that runs it are on the first screen', async () => {
  const { page, context } = await visit(site.browser, `${site.server.address}#dataset=digits`, { viewport: { width: 360, height: 740 } });
  const arena = new Arena(page);
  await arena.ready();
  const { y, height } = await arena.element.getByRole('button', { name: 'Run it yourself' }).boundingBox();
  assert.ok(y + height <= 740, `it ends at ${y + height}`);
  await context.close();
});

test('the page is painted, and explains itself, without engine, model and images', async () => {
  site.server.state.fault = (path) => (/worker-|engine-|\.safetensors|\.pack/.test(path) ? 'missing' : undefined);
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const painted = await page.evaluate(() => new Promise((done) => {
    new PerformanceObserver((list) => done(list.getEntries()[0].startTime)).observe({ type: 'paint', buffered: true });
  }));
  const arena = new Arena(page);
  for (const act of ['Attack', 'Riposte', 'Counter-riposte']) await page.getByRole('heading', { name: act, exact: true }).waitFor();
  await page.getByRole('heading', { name: 'How it works' }).waitFor();
  await arena.device.getByRole('button', { name: 'Start it again' }).waitFor();
  site.server.state.fault = () => undefined;
  await arena.device.getByRole('button', { name: 'Start it again' }).click();
  await arena.ready();
  console.log(`first paint ${painted.toFixed(0)} ms`);
  await context.close();
});

test('the page answers while the engine works', async () => {
  const { page, context } = await visit(site.browser, site.server.address + SHORT);
  const arena = new Arena(page);
  await arena.ready();
  await site.browser.startTracing(page, { categories: ['toplevel'] });
  await arena.runAttack();
  await arena.runRiposte();
  const tasks = mainThreadTasks(await site.browser.stopTracing());
  const longest = (measure) => Math.max(...tasks.map(measure)) / 1000;
  const cpu = longest(({ cpu }) => cpu);
  console.log(`longest main-thread task ${cpu.toFixed(0)} ms of processor time, ${longest(({ clock }) => clock).toFixed(0)} ms by the clock`);
  // By the clock it also waits for whatever else this machine computes, the adapter among it.
  assert.ok(tasks.length > 50 && cpu < 50, `${tasks.length} tasks, ${cpu} ms`);
  await context.close();
});

/** Tasks of the page's own thread: the microseconds of each by the clock and of processor time. */
function mainThreadTasks(trace) {
  const { traceEvents: events } = JSON.parse(trace);
  const threads = events.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`);
  const end = Math.max(...events.map(({ ts }) => ts));
  // A task too short to measure is written as an instant, one that outlasts the trace as a beginning ('B').
  const clock = ({ ph, ts, dur }) => dur ?? (ph === 'B' ? end - ts : 0);
  // Chromium leaves the processor time of some tasks out; it is no more than the time by the clock.
  return events.filter(({ name, pid, tid }) => name === 'ThreadControllerImpl::RunTask' && threads.includes(`${pid} ${tid}`))
    .map((task) => ({ clock: clock(task), cpu: task.tdur ?? clock(task) }));
}
