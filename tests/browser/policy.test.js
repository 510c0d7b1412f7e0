// A content security policy as strict as the page allows, sent with every file. Nothing else of the page is tested here.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, stage, visit } from './browser.js';

// `web/README.md` recommends it, but for the last two, of which the page has nothing.
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "frame-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');
const SHORT = '#dataset=digits&preset=m-mnist&post-iterations=6&post-batch-size=32&steps=10&step-size=0.05';

const site = stage();

/** A visit under the policy, and what violates it, in the page and in its frames. */
async function visitStrictly(path) {
  site.server.state.headers = { 'content-security-policy': POLICY };
  const violations = [];
  const prepare = async (context) => {
    await context.exposeFunction('violated', (what) => violations.push(what));
    await context.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.violated(`${event.effectiveDirective}: ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`);
    }));
  };
  return { violations, ...await visit(site.browser, site.server.address + path, { prepare }) };
}

test('the page attacks and defends, and saves what came of it, under a strict content security policy', async (context_) => {
  context_.after(() => { site.server.state.headers = {}; });
  const { page, context, violations, complaints } = await visitStrictly(SHORT);
  const arena = new Arena(page);
  await arena.ready();
  await arena.attack.getByRole('tab', { name: 'Draw' }).click();
  await arena.attack.getByRole('tab', { name: 'Pick' }).click();
  await arena.ready();
  await arena.runAttack();
  await arena.runRiposte();
  await arena.runCounter();
  for (const button of ['Save images', 'Save record (JSON)']) {
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: button }).click();
    assert.equal(await (await download).failure(), null, button);
  }
  assert.deepEqual([...violations, ...complaints], []);
  await context.close();
});

test('the page for teachers and its frame need no more than that', async (context_) => {
  context_.after(() => { site.server.state.headers = {}; });
  const { page, context, violations, complaints } = await visitStrictly('course.html');
  const frame = page.frameLocator('iframe.riposte');
  await new Arena(page, '#strong').ready();
  const attack = frame.getByRole('button', { name: /^Attack/ });
  await attack.and(frame.locator(':enabled')).waitFor({ timeout: 120_000 });
  await attack.click();
  await page.locator('#result').filter({ hasText: 'act 1' }).waitFor();
  assert.notEqual(await page.locator('iframe.riposte').getAttribute('height'), '900', 'the frame tells its height');
  assert.equal(await page.locator('.code').first().getByRole('button', { name: 'Copy' }).count(), 1);
  assert.deepEqual([...violations, ...complaints], []);
  await context.close();
});

test('what the policy forbids does not happen', async (context_) => {
  context_.after(() => { site.server.state.headers = {}; });
  const { page, context } = await visitStrictly('course.html');
  const forbidden = await page.evaluate(() => new Promise((done) => {
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => done(`${effectiveDirective} ${blockedURI}`));
    document.body.append(Object.assign(document.createElement('script'), { textContent: 'globalThis.ran = true' }));
  }));
  assert.equal(forbidden, 'script-src-elem inline');
  assert.equal(await page.evaluate(() => globalThis.ran), undefined);
  await context.close();
});
