import { launch, visit, Arena, SITE, nextResult } from './browser.js';
import { serve } from './server.js';
const server = await serve(SITE); const browser = await launch();
const { page, complaints } = await visit(browser, server.address + (process.argv[2] ?? '?device=webgpu#data=digits&k=6&m=32&steps=10&step=0.05'));
page.on('console', m => console.log('console', m.type(), m.text().slice(0, 3000)));
page.setDefaultTimeout(Number(process.argv[3]??60)*1000);
const t0 = Date.now(); const say = (...a) => console.log(((Date.now()-t0)/1000).toFixed(1), ...a);
const a = new Arena(page);
try {
await a.ready(); say('ready', await a.device.innerText());
let r = nextResult(page); await a.runAttack(); let rec = await r; say('attacked', JSON.stringify(rec.attack.logits.at(-1)), rec.attack.seconds);
r = nextResult(page); await a.runRiposte(); rec = await r; say('riposte', await a.riposte.locator('.work').innerText(), JSON.stringify(rec.riposte_run.adapted));
r = nextResult(page); await a.runAttack(); rec = await r; say('attacked again', JSON.stringify(rec.attack.logits.at(-1)), rec.attack.seconds);
r = nextResult(page); await a.runRiposte(); rec = await r; say('riposte again', await a.riposte.locator('.work').innerText(), JSON.stringify(rec.riposte_run.adapted));
} catch (e) { say('ERR', String(e).slice(0, 500)); say(await a.device.innerText()); say(await page.locator('[role=alert], .trouble, .failure').allInnerTexts()); }
console.log('complaints', complaints);
await page.screenshot({path:'/work/probe.png', fullPage: true});
await browser.close(); await server.close();
