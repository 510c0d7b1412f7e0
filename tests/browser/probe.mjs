import { launch, visit, Arena, SITE } from '/work/main/tests/browser/browser.js';
import { serve } from '/work/main/tests/browser/server.js';
const server = await serve(SITE); const browser = await launch();
const { page, complaints } = await visit(browser, server.address + (process.argv[2] ?? '#data=digits&k=6&m=32&steps=10&step=0.05'));
page.on('console', m => console.log('console', m.type(), m.text().slice(0, 1500)));
for (let i = 0; i < Number(process.argv[3] ?? 8); i++) { await page.waitForTimeout(1000); }
console.log(await page.locator('riposte-arena').first().innerText());
console.log('complaints', complaints);
await page.screenshot({path:'/work/probe.png'});
await browser.close(); await server.close();
