// <riposte-arena>: attack an image, watch the classifier adapt to it, attack again.
//
// One script tag is enough: <script type="module" src="riposte.js"></script>. Every file is found beside this one, whatever
// page embeds it, as long as both come from the same origin. The built site names the files in `assets/` by their content.

const at = (path) => new URL(path, import.meta.url);
const worker = at('assets/worker.js').href;

let site; // what all elements of a page share: the code, the style, the manifest

function load() {
  site ??= Promise.all([
    import('./assets/riposte-page.js').then(async (page) => {
      await page.default({ module_or_path: at('assets/riposte-page_bg.wasm') });
      return page;
    }),
    text('assets/arena.css').then((css) => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
      return sheet;
    }),
    text('assets/manifest.json'),
    fonts(),
  ]);
  site.catch(() => { site = undefined; });
  return site;
}

async function text(path) {
  const response = await fetch(at(path));
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.text();
}

// Fonts must be known to the document: a browser ignores those of a shadow tree.
function fonts() {
  const { href } = at('assets/fonts.css');
  if (document.querySelector(`link[href="${href}"]`)) return;
  const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
  document.head.append(link);
}

class RiposteArena extends HTMLElement {
  static observedAttributes = ['dataset', 'model', 'image', 'epsilon', 'steps', 'seed', 'acts', 'controls', 'run'];
  #mounted;
  #life = 0;

  connectedCallback() {
    if (this.hasAttribute('from-address')) this.#takeAddress();
    this.#show();
    addEventListener('hashchange', this.#onHash);
  }

  disconnectedCallback() {
    removeEventListener('hashchange', this.#onHash);
    this.#takeDown();
  }

  attributeChangedCallback(_name, before, after) {
    if (this.#mounted && before !== after) this.#show();
  }

  // The address was changed by hand or by a link: the page itself changes it without this event.
  #onHash = () => this.#show();

  async #show() {
    this.#takeDown();
    const life = this.#life;
    try {
      const [page, sheet, manifest] = await load();
      if (life !== this.#life) return;
      const shadow = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
      shadow.adoptedStyleSheets = [sheet];
      const root = document.createElement('div');
      shadow.replaceChildren(root);
      this.#mounted = page.mount(this, root, { base: at('.').href, worker, manifest });
      this.setAttribute('ready', '');
    } catch (error) {
      if (life === this.#life) this.#fail(error);
    }
  }

  #takeDown() {
    this.#life += 1;
    this.#mounted?.free();
    this.#mounted = undefined;
  }

  #fail(error) {
    const paragraph = document.createElement('p');
    paragraph.setAttribute('role', 'alert');
    paragraph.textContent = typeof WebAssembly === 'undefined'
      ? 'This page needs WebAssembly, which this browser lacks or has switched off. '
      : `The page could not be loaded (${error.message}). Is the network there? `;
    const again = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Try again' });
    again.addEventListener('click', () => this.#show());
    paragraph.append(again);
    (this.shadowRoot ?? this).replaceChildren(paragraph);
  }

  // ?dataset=mnist&epsilon=0.2 fills in the attributes that are not there.
  #takeAddress() {
    for (const [name, value] of new URLSearchParams(location.search)) {
      const known = RiposteArena.observedAttributes.includes(name) || ['device', 'theme'].includes(name);
      if (known && !this.hasAttribute(name)) this.setAttribute(name, value);
    }
  }
}

customElements.define('riposte-arena', RiposteArena);
