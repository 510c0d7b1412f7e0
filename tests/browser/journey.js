// What a visitor does, as scripts that any browser runs: Playwright drives Chromium alone.

import { inflateSync } from 'node:zlib';

// Waits in the page.
const UNTIL = `
  const until = async (found, what) => {
    for (let tries = 0; tries < 12_000; tries += 1) {
      const value = found();
      if (value) return value;
      await new Promise((done) => setTimeout(done, 25));
    }
    throw new Error('waited in vain for ' + what);
  };
  const element = await until(() => document.querySelector('riposte-arena'), 'the element');
  const inside = (selector) => element.shadowRoot?.querySelector(selector);
`;

/** Runs acts, whose names are `values`; the last record. */
export const JOURNEY = `${UNTIL}
  const records = [];
  element.addEventListener('riposte', (event) => records.push(event.detail));
  for (const act of values) {
    const button = await until(() => inside('section.' + act + ' button.run:enabled:not(.stop)'), 'the button of ' + act);
    const before = records.length;
    button.click();
    await until(() => records.length > before, 'the record of ' + act);
  }
  return JSON.stringify(records.at(-1));
`;

/** The record of the last act that a link runs at once: of act `values[0]`. */
export const FOLLOWED = `${UNTIL}
  const records = [];
  element.addEventListener('riposte', (event) => records.push(event.detail));
  return JSON.stringify(await until(() => records.find(({ act }) => act === values[0]), 'the record of act ' + values[0]));
`;

/** Presses the button of act I that has the words `values[0]`. */
export const PRESS = `${UNTIL}
  const button = await until(() => [...element.shadowRoot.querySelectorAll('section.attack button')].find(({ textContent }) => textContent === values[0]), values[0]);
  button.click();
`;

/** What is offered to be copied by hand, once it is, and how much of it is selected. */
export const BY_HAND = `${UNTIL}
  const field = await until(() => inside('section.attack textarea.by-hand'), 'a text to copy by hand');
  await until(() => field.selectionEnd > field.selectionStart, 'a selection');
  return { clipboard: typeof navigator.clipboard, words: field.previousElementSibling?.textContent, text: field.value, selected: field.selectionEnd - field.selectionStart };
`;

/** Draws a seven with a pointer; what the classifier sees. */
export const DRAW = `${UNTIL}
  await until(() => inside('section.attack button.run:enabled'), 'an image');
  [...element.shadowRoot.querySelectorAll('section.attack [role=tab]')].find(({ textContent }) => textContent === 'Draw').click();
  const paper = await until(() => inside('canvas.paper'), 'the paper');
  const { left, top, width, height } = paper.getBoundingClientRect();
  const event = (kind, x, y) => paper.dispatchEvent(new PointerEvent(kind, { pointerId: 1, button: 0, bubbles: true, clientX: left + width * x, clientY: top + height * y }));
  event('pointerdown', 0.3, 0.2);
  for (let step = 0; step <= 8; step += 1) event('pointermove', 0.3 + 0.42 * step / 8, 0.2);
  for (let step = 0; step <= 8; step += 1) event('pointermove', 0.72 - 0.27 * step / 8, 0.2 + 0.65 * step / 8);
  event('pointerup', 0.45, 0.85);
  await until(() => location.hash.includes('image=px'), 'the drawing in the address');
  await until(() => inside('section.attack button.run:enabled'), 'the drawing');
  return inside('section.attack .triptych .seen-as').textContent;
`;

/** Uploads a file, `values` its name, its type and its bytes in base64; what is wrong with it, or what the classifier sees. */
export const UPLOAD = `${UNTIL}
  const [name, type, content] = values;
  [...element.shadowRoot.querySelectorAll('section.attack [role=tab]')].find(({ textContent }) => textContent === 'Upload').click();
  const field = await until(() => inside('section.attack input[type=file]'), 'the field for files');
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name, { type }));
  const before = location.hash;
  field.files = files.files;
  field.dispatchEvent(new Event('change', { bubbles: true }));
  await until(() => location.hash !== before || inside('section.attack .upload [role=alert]'), 'what comes of the file');
  return { trouble: inside('section.attack .upload [role=alert]')?.textContent, seen: inside('section.attack .triptych .seen-as')?.textContent };
`;

/** A record without what differs between two runs of the same: time, and who computed it. */
export function comparable(json) {
  const { date, device, seconds, link, work, ...rest } = JSON.parse(json);
  return { ...rest, work: { ...work, seconds: 0 } };
}

/** The colors of a PNG of 8-bit red, green, blue and opacity, row by row. */
export function colorsOf(bytes) {
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  if (bytes[24] !== 8 || bytes[25] !== 6) throw new Error(`${bytes[24]} bits, kind ${bytes[25]}`);
  const parts = [];
  for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    if (bytes.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at)));
  }
  const packed = inflateSync(Buffer.concat(parts));
  const length = 4 * width;
  const colors = Buffer.alloc(length * height);
  for (let row = 0; row < height; row += 1) {
    const filter = packed[row * (length + 1)];
    for (let place = 0; place < length; place += 1) {
      const left = place < 4 ? 0 : colors[row * length + place - 4];
      const above = row === 0 ? 0 : colors[(row - 1) * length + place];
      const corner = row === 0 || place < 4 ? 0 : colors[(row - 1) * length + place - 4];
      const guess = left + above - corner;
      const [toLeft, toAbove, toCorner] = [left, above, corner].map((value) => Math.abs(guess - value));
      const paeth = toLeft <= toAbove && toLeft <= toCorner ? left : toAbove <= toCorner ? above : corner;
      const predicted = [0, left, above, (left + above) >> 1, paeth][filter];
      colors[row * length + place] = packed[row * (length + 1) + 1 + place] + predicted;
    }
  }
  return { width, height, colors };
}
