// Chromium, and what a visitor does on the page.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { serve } from './server.js';

const site = process.env.RIPOSTE_SITE;
if (!site) throw new Error('RIPOSTE_SITE must name the folder of the built site: run `cargo xtask test --only browser`');

const SHOTS = process.env.RIPOSTE_SCREENSHOTS ?? join(import.meta.dirname, '../../target/screenshots');

// WebGPU on the software adapter that ships with Chromium; quiet on machines without a network.
const FLAGS = [
  '--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

export function launch(extra = []) {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...FLAGS, ...extra] });
}

/** The served site and a browser, for the tests of one file. */
export function stage() {
  const stage = {};
  before(async () => {
    stage.server = await serve(site);
    stage.browser = await launch();
  });
  after(async () => {
    await stage.browser.close();
    await stage.server.close();
  });
  return stage;
}

/** A page of its own, with its own cache; what the page complains of is kept in `complaints`. `prepare` is given the context first. */
export async function visit(browser, address, { prepare, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  await prepare?.(context);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  await page.goto(address);
  return { context, page, complaints };
}

/** The parts of one element, as a visitor or a screen reader finds them. */
export class Arena {
  constructor(page, selector = 'riposte-arena') {
    this.page = page;
    this.element = page.locator(selector);
    this.device = this.element.locator('.device');
    this.attack = this.element.locator('section.attack');
    this.riposte = this.element.locator('section.riposte');
    this.counter = this.element.locator('section.counter');
  }

  /** Waits until an image is classified: the attack can run. */
  async ready() {
    await this.attack.getByRole('button', { name: /^Attack/ }).and(this.page.locator(':enabled')).waitFor({ timeout: 120_000 });
  }

  async runAttack() {
    await this.attack.locator('button.run').click();
    await this.attack.locator('.phase').filter({ hasText: /Fooled|held/ }).waitFor();
  }

  async runRiposte() {
    await this.riposte.getByRole('button', { name: /^Riposte/ }).click();
    await this.riposte.locator('.verdict').waitFor({ timeout: 180_000 });
  }

  async runCounter() {
    await this.counter.getByRole('button', { name: /^Attack the defense/ }).click();
    await this.counter.locator('.headline').waitFor({ timeout: 240_000 });
  }

  /** Waits until the last step is shown. */
  async settled(section) {
    const scrubber = section.locator('.scrubber input').first();
    await this.page.waitForFunction((input) => input.value === input.max && input.max !== '0', await scrubber.elementHandle());
  }
}

/** The record that the element announces after an act. Ask before the act. */
export function nextResult(page, selector = 'riposte-arena') {
  return page.locator(selector).evaluate((element) => new Promise((done) => {
    element.addEventListener('riposte', (event) => done(event.detail), { once: true });
  }));
}

export async function screenshot(page, name) {
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}

const WINDOWS = { desktop: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } };

/** Pictures of a page's acts as they stand, on a desktop and on a phone, light and dark; and that it fits each window. */
export async function portraits(page, arena, name) {
  await mkdir(SHOTS, { recursive: true });
  for (const [device, size] of Object.entries(WINDOWS)) {
    await page.setViewportSize(size);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      for (const [act, section] of Object.entries({ attack: arena.attack, riposte: arena.riposte, counter: arena.counter })) {
        await section.screenshot({ path: join(SHOTS, `${name}-${act}-${device}-${colorScheme}.png`) });
      }
      await screenshot(page, `${name}-page-${device}-${colorScheme}`);
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(overflow, 0, `${name} on a ${device}: nothing is wider than the screen`);
  }
}

/** Runs this in the engine's worker before anything else there. */
export async function prepareWorker(server, code) {
  const script = await (await fetch(`${server.address}riposte.js`)).text();
  const path = `assets/${script.match(/worker-\w+\.js/)[0]}`;
  server.state.instead.delete(path);
  const worker = await (await fetch(server.address + path)).text();
  server.state.instead.set(path, `{ ${code} }\n${worker}`);
}

/** What a site is built with, and the path of the file that says so. */
export async function manifest(server) {
  const script = await (await fetch(`${server.address}riposte.js`)).text();
  const path = `assets/${script.match(/manifest-\w+\.json/)[0]}`;
  return { path, ...await (await fetch(server.address + path)).json() };
}

/** Skips a test of a dataset that the site was built without. */
export async function lacks(server, dataset, test) {
  const { datasets } = await manifest(server);
  const lacking = !datasets.some(({ id }) => id === dataset);
  if (lacking) test.skip(`the site was built without a model or the data of ${dataset}`);
  return lacking;
}
