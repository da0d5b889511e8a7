// What the node says by itself, for the pages that want to hear it.

const listeners = new Map(); // event → functions
const last = new Map();      // event → what was said last

/** tell passes on what has come by the stream. */
export function tell(event, data) {
  last.set(event, data);
  for (const f of listeners.get(event) ?? []) f(data);
}

/** listen calls f with what comes from now on, and with what came last; the result ends it. */
export function listen(event, f) {
  if (!listeners.has(event)) listeners.set(event, new Set());
  listeners.get(event).add(f);
  if (last.has(event)) f(last.get(event));
  return () => listeners.get(event).delete(f);
}

/**
 * Refresher calls read() soon after it is asked to, one call at a time and not
 * more often than every pause milliseconds, however often it is asked.
 */
export class Refresher {
  #read;
  #pause;
  #timer = 0;
  #busy = false;
  #again = false;
  #done = 0;
  #stopped = false;

  constructor(read, pause = 400) {
    this.#read = read;
    this.#pause = pause;
  }

  /** ask has read called. */
  ask() {
    this.#stopped = false;
    this.#again = true;
    if (this.#busy || this.#timer) return;
    this.#timer = setTimeout(() => this.#run(), Math.max(0, this.#done + this.#pause - performance.now()));
  }

  /** stop takes back what was asked for. */
  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#again = false;
    this.#stopped = true;
  }

  async #run() {
    this.#timer = 0;
    this.#again = false;
    this.#busy = true;
    try {
      await this.#read();
    } finally {
      this.#busy = false;
      this.#done = performance.now();
    }
    if (this.#again && !this.#stopped) this.ask();
  }
}
