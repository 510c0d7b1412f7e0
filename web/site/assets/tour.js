// A tour of the main page: short cards over the live parts. It can be left at any card, walked with the keyboard, and linked: ?tour=3.

const CARDS = [
  ['.case-verdict', 'One duel, in a sentence', 'An attack changes an image so that a classifier errs. The defense adapts the classifier to that one image before it answers. How this duel ended stands here.'],
  ['.case-pictures', 'What was changed', 'The image, the change made visible, and the attacked image. No pixel changed by more than the number under the second picture; black is 0 and white is 1.'],
  ['.case .run', 'Do not believe it: run it', 'What you saw was computed when this site was built. This button computes it again, on your device.'],
  ['.case [role=group]', 'Five ways to end', 'The defense saves some images, fails on some, is not needed for most, and spoils a few. The numbers say how often each happens; the last button shows one that fell to an attacker who knows.'],
  ['.case ol.kinds', 'Three classifiers', 'An ordinary classifier falls to a change that hardly shows. Training with attacks makes it hold. The third one also adapts to each image.'],
  ['.act.attack .subject', 'Choose the image', 'Take another test image, draw one, or upload a picture. It stays on your device.'],
  ['.act.attack .setup', 'Choose the attack', 'How much may each pixel change? With more, more images fall, and the change is easier to see.'],
  ['.act.attack .action', 'Act I: the attack', 'It follows the classifier\u2019s own gradient, step by step. Below you see the pictures, and the probability of each class at every step.'],
  ['.act.riposte > header', 'Act II: the defense answers', 'It cannot know whether the image was attacked. It looks for the class that is easiest to mistake for its answer, trains a copy of itself on these two, and lets the copy answer.'],
  ['.act.counter > header', 'Act III: attack the defense', 'Now the attacker knows that it adapts: it fools every copy seen so far, sees the answer of a new one, and goes on. Does what was gained survive?'],
  ['.twenty', 'One image may be luck', 'The same attack and defense on twenty test images, with the intervals that so few allow.'],
  ['#how-it-works', 'How it works, and what to doubt', 'The method, the figures of its paper, and five reasons to read them with care. That was the tour.'],
];

const reduced = matchMedia('(prefers-reduced-motion: reduce)');
let tour;

/** The live part that a card is about: in the element's shadow tree, or on the page. */
function part(selector) {
  return document.querySelector('riposte-arena')?.shadowRoot?.querySelector(selector) ?? document.querySelector(selector);
}

class Tour {
  #place = 0;
  #spot = Object.assign(document.createElement('div'), { className: 'tour-spot' });
  #card = document.createElement('section');
  #heading = Object.assign(document.createElement('h2'), { tabIndex: -1, id: 'tour-heading' });
  #text = document.createElement('p');
  #count = document.createElement('span');
  #back = this.#button('Back', () => this.show(this.#place - 1));
  #next = this.#button('Next', () => this.show(this.#place + 1));
  #leave = this.#button('Leave the tour', () => this.end());
  #from = document.activeElement;
  #follow = () => this.#frame();
  // The page stays in use beside a card: Escape ends the tour from there, too.
  #escape = ({ key }) => { if (key === 'Escape') this.end(); };

  constructor() {
    this.#card.className = 'tour-card';
    this.#card.setAttribute('role', 'dialog');
    this.#card.setAttribute('aria-labelledby', 'tour-heading');
    const buttons = document.createElement('div');
    buttons.append(this.#back, this.#next, this.#leave, this.#count);
    this.#card.append(this.#heading, this.#text, buttons);
    this.#card.addEventListener('keydown', ({ key }) => {
      if (key === 'ArrowRight') this.show(this.#place + 1);
      if (key === 'ArrowLeft') this.show(this.#place - 1);
    });
    this.#spot.setAttribute('aria-hidden', 'true');
    document.body.append(this.#spot, this.#card);
    addEventListener('scroll', this.#follow, { passive: true });
    addEventListener('resize', this.#follow);
    addEventListener('keydown', this.#escape);
  }

  show(place) {
    // A part that this visit does not show has no card.
    const step = place < this.#place ? -1 : 1;
    let next = Math.max(0, place);
    while (next < CARDS.length && next >= 0 && !part(CARDS[next][0])) next += step;
    if (next >= CARDS.length) return this.end();
    if (next < 0) return;
    this.#place = next;
    const [selector, heading, text] = CARDS[next];
    this.#heading.textContent = heading;
    this.#text.textContent = text;
    this.#count.textContent = `${next + 1} of ${CARDS.length}`;
    this.#back.disabled = next === 0;
    this.#next.textContent = next === CARDS.length - 1 ? 'Done' : 'Next';
    part(selector).scrollIntoView({ block: 'center', behavior: reduced.matches ? 'auto' : 'smooth' });
    this.#frame();
    this.#heading.focus({ preventScroll: true });
    const address = new URL(location.href);
    address.searchParams.set('tour', next + 1);
    history.replaceState(history.state, '', address);
  }

  end() {
    removeEventListener('scroll', this.#follow);
    removeEventListener('resize', this.#follow);
    removeEventListener('keydown', this.#escape);
    this.#spot.remove();
    this.#card.remove();
    const address = new URL(location.href);
    address.searchParams.delete('tour');
    history.replaceState(history.state, '', address);
    if (this.#from?.isConnected) this.#from.focus({ preventScroll: true });
    tour = undefined;
  }

  #frame() {
    const target = part(CARDS[this.#place][0]);
    if (!target) return;
    const { left, top, width, height } = target.getBoundingClientRect();
    Object.assign(this.#spot.style, { left: `${left - 8}px`, top: `${top - 8}px`, width: `${width + 16}px`, height: `${height + 16}px` });
    // The card stays clear of what it is about.
    this.#card.classList.toggle('above', top + height / 2 > innerHeight / 2);
  }

  #button(words, press) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: words });
    button.addEventListener('click', press);
    return button;
  }
}

function begin(place) {
  tour ??= new Tour();
  tour.show(place);
}

document.querySelector('#tour').addEventListener('click', () => begin(0));

const asked = new URLSearchParams(location.search).get('tour');
if (asked !== null) {
  const element = document.querySelector('riposte-arena');
  const start = () => begin((Number.parseInt(asked, 10) || 1) - 1);
  if (element.hasAttribute('ready')) {
    start();
  } else {
    new MutationObserver((_, observer) => {
      if (!element.hasAttribute('ready')) return;
      observer.disconnect();
      start();
    }).observe(element, { attributes: true, attributeFilter: ['ready'] });
  }
}
