// <riposte-arena>: attack an image, watch the classifier adapt to it, attack again.
//
// One script tag is enough: <script type="module" src="riposte.js"></script>. Every file is found beside this one, whatever
// page embeds it, as long as both come from the same origin; or where the attribute `assets` says, for a bundler that takes this file
// away from the others; or in the page itself, where that carries them (`cargo xtask dist --single-file`). The built site names the files
// in `assets/` by their content.

const sites = new Map(); // by address: what all elements of a page share, the code, the style, the manifest

// The files below an address. `able` rejects where a page that carries them may not use them.
function served(base) {
  const address = (path) => new URL(path, base).href;
  const text = async (path) => {
    const response = await fetch(address(path));
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response.text();
  };
  return { able: undefined, address, text, wasm: address };
}

function load(base) {
  if (!sites.has(base)) {
    const carried = globalThis.riposteCarried;
    const { able, address, text, wasm } = carried ?? served(base);
    const started = async () => {
      await able;
      const page = await import(/* @vite-ignore */ /* webpackIgnore: true */ await address('assets/riposte-page.js'));
      await page.default({ module_or_path: await wasm('assets/riposte-page_bg.wasm') });
      return page;
    };
    const site = Promise.all([
      started(),
      Promise.all(['assets/arena.css', 'assets/case.css'].map(async (path) => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(await text(path));
        return sheet;
      })),
      text('assets/manifest.json'),
      // Where the page carries the files, its manifest has whole addresses.
      Promise.resolve(address('assets/worker.js')).then((worker) => ({ base: carried ? '' : base, worker })),
      Promise.resolve(address('assets/fonts.css')).then(fonts),
    ]);
    sites.set(base, site);
    site.catch(() => sites.delete(base));
  }
  return sites.get(base);
}

// Fonts must be known to the document: a browser ignores those of a shadow tree.
function fonts(href) {
  if ([...document.querySelectorAll('link')].some((link) => link.href === href)) return;
  const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
  document.head.append(link);
}

let landed = false;

// Whoever came for a heading below the element is put there again once the element has its height.
function landOnHeading() {
  if (!landed && location.hash.length > 1) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  landed = true;
}

class RiposteArena extends HTMLElement {
  #mounted;
  #life = 0;
  // Which attributes there are, the page knows.
  #attributes = new MutationObserver((changes) => {
    if (changes.some(({ attributeName: name }) => this.#mounted?.reads(name))) this.#show();
  });

  // Frameworks such as React set a property where an element has one of an attribute's name. Every element has this one, which cannot be
  // set: for whoever sets it, it is the attribute.
  get dataset() {
    return super.dataset;
  }

  set dataset(name) {
    if (name == null) this.removeAttribute('dataset');
    else this.setAttribute('dataset', name);
  }

  connectedCallback() {
    if (this.hasAttribute('from-address')) this.#takeTheme();
    // What the page says where this script does not run.
    for (const words of this.querySelectorAll('.static')) words.textContent = 'Loading the experiment.';
    // The page itself shows the case that it opens with: not where something else is asked for.
    const asked = location.hash + location.search.replace(/\btour=\d*/, '');
    if (this.hasAttribute('from-address') && asked.includes('=')) this.querySelector('.case')?.remove();
    this.#show();
    this.#attributes.observe(this, { attributes: true });
    addEventListener('hashchange', this.#onHash);
  }

  disconnectedCallback() {
    removeEventListener('hashchange', this.#onHash);
    this.#attributes.disconnect();
    this.#takeDown();
  }

  // The address was changed by hand or by a link: the page itself changes it without this event. A jump to a heading, and the way
  // back from there, leave the run as it is.
  #onHash = () => {
    if (!this.#mounted) return;
    if (this.#mounted.addressAsksOtherwise()) this.#show();
    else this.#mounted.keepAddress();
  };

  async #show() {
    this.#takeDown();
    const life = this.#life;
    try {
      const [page, sheets, manifest, places] = await load(this.#base());
      if (life !== this.#life) return;
      const shadow = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
      shadow.adoptedStyleSheets = sheets;
      const root = document.createElement('div');
      shadow.replaceChildren(root);
      this.#mounted = page.mount(this, root, { ...places, manifest });
      this.setAttribute('ready', '');
      landOnHeading();
    } catch (error) {
      if (life === this.#life) this.#fail(error);
    }
  }

  // The folder of the site, with a slash at its end.
  #base() {
    const assets = this.getAttribute('assets');
    return assets ? new URL(assets.replace(/\/?$/, '/'), document.baseURI).href : new URL('.', import.meta.url).href;
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
      : `The page could not be loaded (${error.message}). ${globalThis.riposteCarried ? '' : 'Is the network there? '}`;
    const again = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Try again' });
    again.addEventListener('click', () => this.#show());
    paragraph.append(again);
    if (this.shadowRoot) {
      this.shadowRoot.replaceChildren(paragraph);
    } else {
      // The prepared case stays, and the still pictures of a notebook.
      for (const words of this.querySelectorAll('.static, [role=alert]')) words.remove();
      this.append(paragraph);
    }
  }

  // ?theme=dark; the other parameters are read by the page.
  #takeTheme() {
    const theme = new URLSearchParams(location.search).get('theme');
    if (theme && !this.hasAttribute('theme')) this.setAttribute('theme', theme);
  }
}

customElements.define('riposte-arena', RiposteArena);
