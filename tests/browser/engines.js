// Firefox and WebKit as one is given them by Linux distributions, driven by the standard protocols: WebDriver BiDi and WebDriver.

import { spawn } from 'node:child_process';
import { access, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { Builder, Capabilities } from 'selenium-webdriver';

/** A browser that is not on this machine: the message says how to have it. */
export class Missing extends Error {}

/** The first of some programs that is there. */
async function program(name, places, advice) {
  for (const place of [process.env[name], ...places].filter(Boolean)) {
    if (await access(place).then(() => true, () => false)) return place;
  }
  throw new Missing(`none of ${places.join(', ')} is there: install it (${advice}), or name it in ${name}`);
}

/** Starts a browser for a test; one that is missing is told, and a failure where RIPOSTE_REQUIRE_ENGINES is set. */
export async function start(context, launch, ...settings) {
  try {
    const browser = await launch(...settings);
    context.after(() => browser.close());
    console.log(browser.name);
    return browser;
  } catch (error) {
    if (!(error instanceof Missing) || process.env.RIPOSTE_REQUIRE_ENGINES) throw error;
    context.skip(error.message);
    return undefined;
  }
}

/**
 * Firefox. `preferences` are those of about:config. A browser is driven by `open(address)` and `run(script, ...values)`: the body of an
 * asynchronous function, which finds the values in `values`; `close()` ends it. What it saves lies in `downloads`.
 */
export async function firefox(preferences = {}) {
  const executablePath = await program('FIREFOX', ['/usr/bin/firefox-esr', '/usr/bin/firefox'], 'Debian: firefox-esr');
  const downloads = await mkdtemp(join(tmpdir(), 'riposte-firefox-'));
  const saving = { 'browser.download.folderList': 2, 'browser.download.dir': downloads, 'browser.download.useDownloadDir': true };
  const browser = await puppeteer.launch({
    browser: 'firefox', executablePath, headless: true, protocolTimeout: 600_000, extraPrefsFirefox: { ...saving, ...preferences },
  });
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  return {
    name: await browser.version(),
    complaints,
    downloads,
    open: (address) => page.goto(address, { waitUntil: 'domcontentloaded' }),
    run: (script, ...values) => page.evaluate(`(async (values) => {${script}})(${JSON.stringify(values)})`),
    close: async () => {
      await browser.close();
      await rm(downloads, { recursive: true, force: true });
    },
  };
}

/** WebKitGTK's MiniBrowser, on a screen of its own. */
export async function webkit() {
  const advice = 'Debian: webkit2gtk-driver, xvfb';
  const driver = await program('WEBKIT_DRIVER', ['/usr/bin/WebKitWebDriver'], advice);
  const screen = await program('XVFB', ['/usr/bin/Xvfb'], advice);
  const folders = await readdir('/usr/lib').then((names) => names.filter((name) => name.endsWith('-linux-gnu')));
  const versions = ['4.1', '6.0', '4.0'].flatMap((version) => ['webkit2gtk', 'webkitgtk'].map((kit) => `${kit}-${version}`));
  const browsers = folders.flatMap((folder) => versions.map((version) => `/usr/lib/${folder}/${version}/MiniBrowser`));
  const binary = await program('WEBKIT_BROWSER', browsers, advice);

  const home = await mkdtemp(join(tmpdir(), 'riposte-webkit-'));
  const downloads = join(home, 'downloads');
  await mkdir(downloads);
  await writeFile(join(home, 'user-dirs.dirs'), `XDG_DOWNLOAD_DIR="${downloads}"\n`);
  // The server takes the first screen that is free and says which.
  const server = spawn(screen, ['-displayfd', '3', '-screen', '0', '1400x1100x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const display = await new Promise((done, failed) => {
    server.stdio[3].once('data', (digits) => done(`:${String(digits).trim()}`));
    server.once('exit', () => failed(new Error(`${screen} ended at once`)));
  });
  const port = await freePort();
  const environment = {
    ...process.env, DISPLAY: display, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, XDG_DATA_HOME: home, LIBGL_ALWAYS_SOFTWARE: '1', NO_AT_BRIDGE: '1',
    // Containers do not let it make another one inside.
    WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
  };
  const service = spawn(driver, [`--port=${port}`], { env: environment, stdio: 'ignore' });
  const end = async () => {
    service.kill();
    server.kill();
    await rm(home, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const capabilities = new Capabilities({ browserName: 'MiniBrowser', 'webkitgtk:browserOptions': { binary, args: ['--automation'] } });
    const session = await patiently(() => new Builder().usingServer(`http://127.0.0.1:${port}`).withCapabilities(capabilities).build());
    await session.manage().setTimeouts({ script: 600_000, pageLoad: 120_000 });
    const found = await session.getCapabilities();
    return {
      name: `WebKitGTK ${found.get('browserVersion')}`,
      // Its console is not to be had by this protocol.
      complaints: [],
      downloads,
      open: (address) => session.get(address),
      run: async (script, ...values) => {
        const wrapped = `const [values, done] = arguments; (async () => {${script}})().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
        const { value, error } = await session.executeAsyncScript(wrapped, values);
        if (error) throw new Error(error);
        return value;
      },
      close: async () => {
        await session.quit();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A port of this machine that nobody listens at. */
export function freePort() {
  return new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

/** Until the driver listens. */
async function patiently(task) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await task();
    } catch (error) {
      if (tries === 40 || !/ECONNREFUSED/.test(String(error))) throw error;
      await new Promise((done) => setTimeout(done, 250));
    }
  }
}
