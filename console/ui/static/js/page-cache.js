// Items of a long list that are read from the node in pages, as they come into
// view. What is scrolled past is not asked for, and what is far away is forgotten.

/** How long a page must be in view before it is asked for. */
const REST_MS = 80;

/** Pages that are kept. */
const KEPT = 30;

export class PageCache {
  #size;
  #read;
  #onLoaded;
  #onError;
  #pages = new Map(); // number → items, the least lately used first
  #asked = new Map(); // number → AbortController
  #wanted = [0, -1];
  #timer = 0;
  #failed = false;

  /**
   * read(first, size, signal) gives the items from an index on; onLoaded() is
   * called when some have come, onError(err) when they could not be read.
   */
  constructor({ size, read, onLoaded, onError }) {
    this.#size = size;
    this.#read = read;
    this.#onLoaded = onLoaded;
    this.#onError = onError;
  }

  /** item returns an item, or undefined if it has not been read. */
  item(index) {
    return this.#pages.get(Math.floor(index / this.#size))?.[index % this.#size];
  }

  /** put keeps a page that has been read already. */
  put(page, items) {
    this.#pages.set(page, items);
  }

  /** want says which items can be seen; those missing are read if they stay in view. */
  want(first, last) {
    this.#wanted = [Math.floor(first / this.#size), Math.floor(last / this.#size)];
    for (const [page, ctl] of this.#asked) {
      if (page < this.#wanted[0] || page > this.#wanted[1]) {
        ctl.abort();
        this.#asked.delete(page);
      }
    }
    if (last < first || this.#timer) return;
    for (let p = this.#wanted[0]; p <= this.#wanted[1]; p++) {
      if (!this.#pages.has(p) && !this.#asked.has(p)) {
        this.#timer = setTimeout(() => this.#ask(), this.#failed ? 2000 : REST_MS);
        return;
      }
    }
  }

  /** grown says that there are count items now: a page that was not full is read again. */
  grown(count) {
    for (const [p, items] of this.#pages) {
      if (items.length < this.#size && p * this.#size + items.length < count) this.#pages.delete(p);
    }
  }

  /** clear forgets everything. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    for (const ctl of this.#asked.values()) ctl.abort();
    this.#asked.clear();
    this.#pages.clear();
    this.#wanted = [0, -1];
  }

  #ask() {
    this.#timer = 0;
    for (let p = this.#wanted[0]; p <= this.#wanted[1]; p++) {
      if (this.#pages.has(p)) {
        const items = this.#pages.get(p);
        this.#pages.delete(p);
        this.#pages.set(p, items);
      } else if (!this.#asked.has(p)) {
        this.#load(p);
      }
    }
  }

  async #load(p) {
    const ctl = new AbortController();
    this.#asked.set(p, ctl);
    try {
      const items = await this.#read(p * this.#size, this.#size, ctl.signal);
      if (ctl.signal.aborted) return;
      this.#failed = false;
      this.#pages.set(p, items);
      while (this.#pages.size > KEPT) this.#pages.delete(this.#pages.keys().next().value);
      this.#asked.delete(p);
      this.#onLoaded();
    } catch (err) {
      if (ctl.signal.aborted) return;
      this.#failed = true;
      this.#asked.delete(p);
      this.#onError(err);
    }
  }
}
