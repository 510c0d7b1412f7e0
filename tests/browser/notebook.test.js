// The experiment in notebooks: in JupyterLab, in the HTML that a notebook is exported to, and where a viewer lets nothing run.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { screenshot, stage, visit } from './browser.js';
import { freePort } from './engines.js';
import { serve } from './server.js';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const PYTHON = process.env.RIPOSTE_JUPYTER ?? process.env.RIPOSTE_PYTHON ?? 'python3';

const CELLS = [
  `import riposte
images, labels = riposte.dataset("digits", images=4)
riposte.show(images[3], dataset="digits", height=1100, acts="12", controls="run", preset="m-mnist", steps=5, step_size=0.1, post_iterations=3, post_batch_size=16, device="cpu")`,
  'widget = riposte.widget(image="test:3", seed=7, acts="1", controls="run", steps=5, step_size=0.1, device="cpu")\nwidget',
  'print("record:", widget.record["act"], widget.record["index"], widget.record["attack"]["steps"], widget.record["seed"])',
];

const site = stage();

/** A folder with the module as a wheel installs it, a notebook, and places for what Jupyter keeps. */
async function desk(context) {
  const folder = await mkdtemp(join(tmpdir(), 'riposte-notebook-'));
  context.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const module = join(folder, 'module/riposte');
  await cp(join(ROOT, 'crates/python/riposte'), module, { recursive: true, filter: (path) => !path.includes('__pycache__') });
  await cp(process.env.RIPOSTE_ELEMENT, join(module, 'element.html'));
  await symlink(process.env.RIPOSTE_LIBRARY, join(module, '_riposte.abi3.so'));
  const work = join(folder, 'work');
  await mkdir(work);
  const cells = CELLS.map((source, place) => ({ cell_type: 'code', id: `cell-${place}`, metadata: {}, execution_count: null, outputs: [], source }));
  const kernelspec = { name: 'python3', display_name: 'Python 3', language: 'python' };
  await writeFile(join(work, 'experiment.ipynb'), JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: { kernelspec }, cells }));
  const environment = { ...process.env, PYTHONPATH: join(folder, 'module'), HOME: folder, IPYTHONDIR: join(folder, 'ipython') };
  for (const kind of ['CONFIG', 'DATA', 'RUNTIME']) environment[`JUPYTER_${kind}_DIR`] = join(folder, kind.toLowerCase());
  return { work, environment };
}

/** JupyterLab; its address. */
async function jupyter(context, { work, environment }) {
  const port = await freePort();
  const settings = ['--no-browser', '--allow-root', `--port=${port}`, `--notebook-dir=${work}`, '--IdentityProvider.token=', '--LabApp.expose_app_in_browser=True'];
  const server = spawn(PYTHON, ['-m', 'jupyterlab', '--ip=127.0.0.1', ...settings], { env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  server.stderr.on('data', (words) => { said += words; });
  context.after(async () => {
    const ended = new Promise((done) => server.once('exit', done));
    server.kill();
    await ended;
  });
  const address = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 240; tries += 1) {
    if (await fetch(`${address}/api/status`).then(({ ok }) => ok, () => false)) return address;
    await new Promise((done) => setTimeout(done, 250));
  }
  throw new Error(`JupyterLab does not answer:\n${said}`);
}

/** Runs the attack of an experiment in a frame. */
async function attack(frame) {
  const button = frame.getByRole('button', { name: /^Attack/ });
  await button.and(frame.locator(':enabled')).waitFor({ timeout: 120_000 });
  await button.click();
  await frame.locator('section.attack .phase').filter({ hasText: /Fooled|held/ }).waitFor({ timeout: 60_000 });
}

test('the experiment runs in JupyterLab and in the exported notebook, and its widget has the visitor\u2019s record', { timeout: 300_000 }, async (context) => {
  const missing = await run(PYTHON, ['-c', 'import numpy, jupyterlab, nbconvert, anywidget']).then(() => undefined, ({ message }) => message);
  if (missing) {
    if (process.env.RIPOSTE_REQUIRE_JUPYTER) throw new Error(missing);
    context.skip(`${PYTHON} has no JupyterLab with anywidget and NumPy; RIPOSTE_REQUIRE_JUPYTER=1 makes it fail`);
    return;
  }
  const place = await desk(context);
  const address = await jupyter(context, place);
  const { page, context: ours } = await visit(site.browser, `${address}/lab/tree/experiment.ipynb`, { viewport: { width: 1280, height: 1400 } });
  await page.waitForFunction(() => globalThis.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle', null, { timeout: 120_000 });
  const cell = (place) => page.evaluate(async (place) => {
    const { currentWidget } = globalThis.jupyterapp.shell;
    currentWidget.content.activeCellIndex = place;
    await globalThis.jupyterapp.commands.execute('notebook:run-cell');
  }, place);
  await cell(0);
  const shown = page.frameLocator('iframe[title=Riposte]').first();
  await attack(shown);
  await shown.getByRole('button', { name: /^Riposte/ }).click();
  await shown.locator('section.riposte .verdict').waitFor({ timeout: 120_000 });
  await screenshot(page, 'jupyterlab');

  await cell(1);
  await attack(page.locator('.jp-OutputArea-output').nth(1).frameLocator('iframe[title=Riposte]'));
  // The record is on its way to the kernel before the cell that asks for it.
  await cell(2);
  await page.getByText('record: 1 3 5 7').waitFor();
  await screenshot(page, 'jupyterlab-widget');
  await page.evaluate(() => globalThis.jupyterapp.commands.execute('docmanager:save'));
  await ours.close();

  // What it is exported to needs neither Jupyter nor a network.
  await run(PYTHON, ['-m', 'nbconvert', '--to', 'html', 'experiment.ipynb'], { cwd: place.work, env: place.environment });
  const exported = join(place.work, 'experiment.html');
  const file = await visit(site.browser, pathToFileURL(exported).href, { offline: true });
  await attack(file.page.frameLocator('iframe[title=Riposte]').first());
  await screenshot(file.page, 'notebook-exported');
  await file.context.close();

  // A viewer that lets no worker start, one that lets no script run, and one that takes frames out.
  const viewer = await serve(place.work);
  context.after(() => viewer.close());
  const view = async (policy, change = (text) => text) => {
    viewer.state.headers = { 'content-security-policy': policy };
    viewer.state.instead.set('view.html', change(await readFile(exported, 'utf8')));
    return visit(site.browser, `${viewer.address}view.html`);
  };
  const strict = await view("worker-src 'none'");
  const frame = strict.page.frameLocator('iframe[title=Riposte]').first();
  await frame.getByRole('alert').filter({ hasText: 'allows it no worker' }).waitFor();
  await frame.locator('riposte-arena img').waitFor();
  await strict.context.close();
  const silent = await view("script-src 'none'");
  await silent.page.frameLocator('iframe[title=Riposte]').first().locator('riposte-arena img').waitFor();
  await silent.context.close();
  const cleaned = await view("script-src 'none'", (text) => text.replaceAll(/<iframe[^>]*><\/iframe>/g, ''));
  await cleaned.page.locator('.jp-RenderedHTMLCommon figure img').first().waitFor();
  await cleaned.context.close();
});
