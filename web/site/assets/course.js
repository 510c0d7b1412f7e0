// The page for teachers: what its frame says, and buttons that copy code.

addEventListener('message', ({ data, source }) => {
  for (const frame of document.querySelectorAll('iframe.riposte')) {
    if (frame.contentWindow !== source) continue;
    if (data.type === 'riposte:height') frame.height = data.height;
    if (data.type === 'riposte:result') document.querySelector('#result').textContent = `act ${data.result.act} on ${data.result.index === null ? 'a picture of your own' : `test image ${data.result.index}`}`;
  }
});
// What the form makes: a link, an element, a frame.
const form = document.querySelector('#builder');

function chosen() {
  const pairs = [...new FormData(form)].map(([name, value]) => [name, String(value).trim()]).filter(([, value]) => value);
  return pairs.map(([name, value]) => [name, name === 'image' ? `test:${value}` : value]);
}

function build() {
  const attributes = chosen();
  const query = attributes.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  const site = new URL('./', location.href).href;
  const question = query && `?${query}`;
  document.querySelector('#built-link').textContent = `${site}${question}`;
  const tag = ['<riposte-arena', ...attributes.map(([name, value]) => `${name}="${value.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}"`)].join(' ');
  document.querySelector('#built-element').textContent = `<script type="module" src="riposte/riposte.js"></script>\n${tag}></riposte-arena>`;
  document.querySelector('#built-frame').textContent = `<iframe class="riposte" src="${site}embed.html${question.replaceAll('&', '&amp;')}"\n        style="width: 100%; border: 0" height="900" title="Riposte" allow="clipboard-write"></iframe>`;
}

form.addEventListener('input', build);
form.addEventListener('submit', (event) => event.preventDefault());
build();
document.querySelector('#try').addEventListener('click', () => {
  const element = document.createElement('riposte-arena');
  for (const [name, value] of chosen()) element.setAttribute(name, value);
  element.setAttribute('hash', 'off');
  element.setAttribute('aria-label', 'Your experiment');
  document.querySelector('#tried').replaceChildren(element);
});

for (const block of document.querySelectorAll('.code')) {
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Copy' });
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(block.querySelector('code').textContent);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Select and copy by hand';
    }
  });
  block.append(button);
}
