// Events that a filter lets through, read from the node page by page as the
// reader comes near the end of those that are there.

import { get } from "./api.js";

/** Matches that are kept; who has more has to narrow the filter. */
const KEPT = 20_000;

export class Matches {
  events = [];
  after = 0;     // up to which event the history has been searched
  ended = false; // all of it has
  full = false;
  error = null;
  #path;
  #onChange;
  #control = new AbortController();
  #busy = false;

  /** path(after) asks for those behind an event; onChange(this) is called when some have come. */
  constructor({ path, onChange }) {
    this.#path = path;
    this.#onChange = onChange;
  }

  /** more reads on, unless that is under way or all is read. */
  async more() {
    if (this.#busy || this.ended || this.#control.signal.aborted) return;
    this.#busy = true;
    try {
      const { events, next, total } = await get(this.#path(this.after), this.#control.signal);
      this.events.push(...events);
      this.after = next ?? total;
      this.full = this.events.length >= KEPT;
      this.ended = !next || this.full;
      this.error = null;
    } catch (err) {
      if (this.#control.signal.aborted) return;
      this.error = err;
      this.ended = true;
    } finally {
      this.#busy = false;
    }
    this.#onChange(this);
  }

  /** grown says that the history has become longer. */
  grown() {
    if (!this.ended || this.full) return;
    this.ended = false;
    this.more();
  }

  /** stop ends it. */
  stop() {
    this.#control.abort();
  }
}
