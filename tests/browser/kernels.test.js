// Every layer of every network on WebGPU against float64 in the same page: forward and all gradients, and the operations around them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch } from './browser.js';
import { serve } from './server.js';

const folder = process.env.RIPOSTE_CHECKS;
if (!folder) throw new Error('RIPOSTE_CHECKS must name the folder of the built checks: run `cargo xtask test --only browser`');

test('the kernels on WebGPU agree with float64', { timeout: 600_000 }, async (context) => {
  const server = await serve(folder);
  const browser = await launch();
  context.after(async () => {
    await browser.close();
    await server.close();
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(600_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  await page.goto(server.address);
  await page.waitForFunction(() => globalThis.wasmBindings);
  const names = await page.evaluate(async () => {
    globalThis.checks = await globalThis.wasmBindings.Checks.open();
    return globalThis.checks.names();
  });
  assert.ok(names.length > 60, `${names.length} checks`);
  for (const [place, name] of names.entries()) {
    await context.test(name, async () => {
      const findings = await page.evaluate((place) => globalThis.checks.run(place), place);
      console.log(findings.map(({ what, error }) => `${what} ${error.toExponential(1)}`).join(', '));
      assert.deepEqual(complaints, []);
      assert.ok(findings.length > 0, 'something is found');
      for (const { what, error, below } of findings) assert.ok(error < below, `${what}: ${error} must be below ${below}`);
    });
  }
});
