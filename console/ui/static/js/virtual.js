// A list of any length of which only what can be seen is in the document. Rows
// have one height and are used again as they leave the window.

import { h, setAttr } from "./dom.js";

/**
 * The tallest element that all browsers lay out well. A longer list is scrolled
 * in proportion: a wheel and the keys move by rows, the scroll bar by shares of
 * the whole.
 */
const HEIGHT_MAX = 8_000_000;

/** Rows made beyond each edge of the window. */
const OVERSCAN = 6;

export class VirtualList {
  #count = 0;
  #row;
  #make;
  #update;
  #onRange;
  #shown = new Map(); // index → element
  #free = [];
  #top = 0;       // how far the window is from the first row, in the list's own pixels
  #native = 0;    // scrollTop as it was when #top was computed
  #frame = 0;
  #active = -1;
  #onOpen;

  /**
   * options: label, the name for screen readers; row, the height of one in
   * pixels; make() makes a row, update(row, index) fills it; onRange(first, last)
   * is told what can be seen; onOpen(index) of a click or Enter, if given.
   */
  constructor({ label, row, make, update, onRange = () => {}, onOpen = null }) {
    this.#row = row;
    this.#make = make;
    this.#update = update;
    this.#onRange = onRange;
    this.#onOpen = onOpen;
    this.canvas = h("div", { class: "virtual-canvas", role: "rowgroup" });
    this.element = h("div", { class: "virtual", tabindex: "0", role: "table", "aria-label": label, "aria-rowcount": "0" }, this.canvas);
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.element.addEventListener("scrollend", () => this.#anchor(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(this.element);
    if (onOpen) {
      this.element.addEventListener("keydown", (e) => this.#key(e));
      this.canvas.addEventListener("click", (e) => {
        const el = e.target.closest(".virtual-row");
        if (!el || e.target.closest("a, button")) return;
        this.active = el.index;
        onOpen(el.index);
      });
    }
  }

  get count() { return this.#count; }

  /** active is the row that the keys have chosen, or -1. */
  get active() { return this.#active; }

  set active(index) {
    this.#active = index;
    for (const [i, el] of this.#shown) setAttr(el, "aria-selected", i === index ? "true" : null);
  }

  /** setCount says how many rows there are. With follow, a window at the end stays at the end. */
  setCount(count, follow = false) {
    if (count === this.#count) return this.refresh();
    const atEnd = this.atEnd;
    this.#count = count;
    setAttr(this.element, "aria-rowcount", count);
    const height = `${Math.min(count * this.#row, HEIGHT_MAX)}px`;
    this.canvas.style.setProperty("height", height);
    this.element.style.setProperty("--rows", `calc(${height} + 12px)`);
    if (follow && atEnd) this.#move(count * this.#row);
    else this.#move(this.#top);
    this.refresh();
  }

  /** refresh fills the rows that can be seen anew. */
  refresh() {
    for (const [i, el] of this.#shown) if (i < this.#count) this.#update(el, i);
    this.#soon();
  }

  /** atEnd reports whether the last row can be seen. */
  get atEnd() { return this.#top >= this.#rest() - this.#row; }

  /** show brings a row into the window: to its top, or with nearest as little as needed. */
  show(index, nearest = false) {
    const y = index * this.#row;
    const view = this.element.clientHeight;
    if (!nearest) this.#move(y - view / 3);
    else if (y < this.#top) this.#move(y);
    else if (y + this.#row > this.#top + view) this.#move(y + this.#row - view);
    this.#draw();
  }

  /** How far the window can go, in the list's own pixels. */
  #rest() { return Math.max(0, this.#count * this.#row - this.element.clientHeight); }

  /** The same in pixels of the browser. */
  #nativeRest() { return Math.max(0, Math.min(this.#count * this.#row, HEIGHT_MAX) - this.element.clientHeight); }

  #scaled() { return this.#count * this.#row > HEIGHT_MAX; }

  #move(top) {
    this.#top = Math.max(0, Math.min(top, this.#rest()));
    this.#native = this.#rest() > 0 ? (this.#top / this.#rest()) * this.#nativeRest() : 0;
    this.element.scrollTop = this.#native;
    this.#native = this.element.scrollTop;
  }

  #scrolled() {
    const now = this.element.scrollTop;
    const by = now - this.#native;
    if (by === 0) return;
    this.#native = now;
    if (!this.#scaled()) this.#top = now;
    else if (now <= 0) this.#top = 0;
    else if (now >= this.#nativeRest() - 1) this.#top = this.#rest();
    else if (Math.abs(by) <= 2 * this.element.clientHeight) this.#top = Math.max(0, Math.min(this.#top + by, this.#rest()));
    else this.#top = (now / this.#nativeRest()) * this.#rest();
    this.#draw();
  }

  /** After a scroll by rows the scroll bar goes to where the window is in the whole. */
  #anchor() {
    if (this.#scaled()) this.#move(this.#top);
    this.#draw();
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const view = this.element.clientHeight;
    if (view === 0 && this.#count > 0) return; // not on display
    const first = Math.max(0, Math.floor(this.#top / this.#row) - OVERSCAN);
    const last = Math.min(this.#count - 1, Math.ceil((this.#top + view) / this.#row) + OVERSCAN);
    for (const [i, el] of this.#shown) {
      if (i >= first && i <= last) continue;
      this.#shown.delete(i);
      this.#free.push(el);
    }
    for (let i = first; i <= last; i++) {
      let el = this.#shown.get(i);
      if (!el) {
        el = this.#free.pop() ?? this.#fresh();
        this.#shown.set(i, el);
        el.index = i;
        setAttr(el, "aria-rowindex", i + 1);
        setAttr(el, "aria-selected", i === this.#active ? "true" : null);
        this.#update(el, i);
        if (!el.isConnected) this.canvas.append(el);
      }
      el.style.setProperty("transform", `translateY(${Math.round(this.#native + i * this.#row - this.#top)}px)`);
    }
    for (const el of this.#free) el.remove();
    this.#free.length = Math.min(this.#free.length, 2 * OVERSCAN);
    this.#onRange(first, last);
  }

  #fresh() {
    const el = this.#make();
    el.classList.add("virtual-row");
    el.setAttribute("role", "row");
    el.style.setProperty("height", `${this.#row}px`);
    return el;
  }

  #key(e) {
    if (e.target !== this.element || this.#count === 0) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.#row) - 1);
    const from = this.#active < 0 ? Math.ceil(this.#top / this.#row) - 1 : this.#active;
    const to = { ArrowDown: from + 1, ArrowUp: from - 1, PageDown: from + page, PageUp: from - page, Home: 0, End: this.#count - 1 }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      this.active = Math.max(0, Math.min(to, this.#count - 1));
      this.show(this.#active, true);
    } else if (e.key === "Enter" && this.#active >= 0) {
      e.preventDefault();
      this.#onOpen(this.#active);
    }
  }
}
