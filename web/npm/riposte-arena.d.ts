/** The record of a run, as `riposte duel --json` prints it; what was not done is null or empty. */
export interface RiposteRecord {
  version: string;
  dataset: string;
  classes: string[];
  index: number | null;
  label: number | null;
  model: string;
  preset: string;
  seed: number;
  act?: number;
  link: string | null;
  command: string | null;
  outcome: string | null;
  original: number | null;
  neighbor: number | null;
  natural: Opinion | null;
  attacked: Opinion | null;
  answer: Opinion | null;
  race: number[][];
  losses: number[];
  [further: string]: unknown;
}

/** What a classifier says of an image. */
export interface Opinion {
  class: number;
  probabilities: number[];
}

/** `<riposte-arena>`. */
export interface RiposteArenaElement extends HTMLElement {
  addEventListener(type: 'riposte', listener: (event: CustomEvent<RiposteRecord>) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'riposte-arena': RiposteArenaElement;
  }
}
