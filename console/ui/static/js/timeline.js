// The timeline of a run: a row for each attempt of each node, drawn against the
// time of the run. Only the rows in view are in the document.

import { h, setAttr, setText } from "./dom.js";
import { duration, exact } from "./format.js";
import { get } from "./api.js";
import { command, commandLine } from "./cli.js";
import { Refresher } from "./live.js";
import { final, look } from "./states.js";
import { VirtualList } from "./virtual.js";

const ROW = 26;

/** Events that one request asks for, and that are read without being asked. */
const PAGE = 10_000;
const ALONE = 20_000;

/** How far the time can be zoomed in, as a share of the run. */
const ZOOM_MAX = 10_000;

const instance = (s) => (s.node ?? "") + (s.iteration ?? []).map((i) => `[${i}]`).join("");

const label = (s) => ({ run: "the run", pause: "paused", undo: `undo ${instance(s)}` }[s.kind] ?? instance(s)) + (s.attempt > 1 ? ` · ${s.attempt}` : "");

/** tick is a round length of time of which a few fit into a span, in ms. */
function tick(span, wanted) {
  const least = span / wanted;
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
  return steps.find((s) => s >= least) ?? Math.ceil(least / 864e5) * 864e5;
}

export class Timeline {
  #id = "";
  #spans = new Map(); // id → span
  #rows = [];
  #after = 0;
  #total = 0;
  #allowed = ALONE;
  #until = 0;
  #at = performance.now(); // when until was told
  #zoom = 1;
  #left = 0; // the share of the run that lies before the window
  #visible = false;
  #ended = false;
  #onNode;
  #refresher = new Refresher(() => this.#read(), 300);

  /** onNode(id) is called when a row of a node is opened. */
  constructor({ onNode }) {
    this.#onNode = onNode;
    this.note = h("span", { class: "count", role: "status" });
    this.more = h("button", { type: "button", hidden: true, onclick: () => { this.#allowed += ALONE; this.#refresher.ask(); } }, "Read on");
    const button = (text, name, act) => h("button", { type: "button", class: "quiet square", "aria-label": name, title: name, onclick: act }, text);
    this.axis = h("div", { class: "axis-marks", "aria-hidden": "true" });
    this.list = new VirtualList({
      label: "Timeline", row: ROW, make: () => this.#make(), update: (el, i) => this.#fill(el, i),
      onOpen: (i) => { if (this.#rows[i]?.node) this.#onNode(this.#rows[i].node); },
    });
    this.list.element.classList.add("timeline-list");
    this.list.element.addEventListener("keydown", (e) => this.#key(e));
    this.list.element.addEventListener("wheel", (e) => this.#wheel(e), { passive: false });
    this.empty = h("p", { class: "empty" }, "Nothing has begun yet.");
    this.cli = h("div", { class: "page-cli" });
    this.element = h("div", { class: "timeline" },
      h("div", { class: "bar" }, button("+", "Zoom in", () => this.#zoomTo(this.#zoom * 2)), button("−", "Zoom out", () => this.#zoomTo(this.#zoom / 2)),
        h("button", { type: "button", onclick: () => this.#zoomTo(1) }, "Whole run"), button("←", "Earlier", () => this.#pan(-0.5)), button("→", "Later", () => this.#pan(0.5)),
        h("span", { class: "spacer" }), this.note, this.more),
      h("div", { class: "time-axis" }, h("span", { class: "t-name" }), this.axis), this.list.element, this.empty, this.cli);
    new ResizeObserver(() => this.#draw()).observe(this.axis);
  }

  open(id) {
    this.close();
    this.#id = id;
    this.cli.replaceChildren(command(commandLine("troupe", "run", "timeline", id)));
  }

  close() {
    this.#refresher.stop();
    this.#id = "";
    this.#spans.clear();
    this.#rows = [];
    this.#after = 0;
    this.#total = 0;
    this.#allowed = ALONE;
    this.#zoom = 1;
    this.#left = 0;
    this.list.setCount(0);
  }

  visible(on) {
    this.#visible = on;
    if (on) this.#refresher.ask();
  }

  /** update hears of the run: more may have happened. */
  update(run) {
    this.#ended = final(run.state);
    this.#total = Math.max(this.#total, run.events);
    if (this.#visible && this.#after < Math.min(this.#total, this.#allowed)) this.#refresher.ask();
    if (!this.#ended && this.#visible) this.#draw();
  }

  async #read() {
    const id = this.#id;
    if (!id) return;
    try {
      const page = await get(`/api/runs/${encodeURIComponent(id)}/timeline?after=${this.#after}&limit=${PAGE}`);
      if (id !== this.#id) return;
      this.#after = page.next ?? page.total;
      this.#total = page.total;
      this.#until = Date.parse(page.until);
      this.#at = performance.now();
      for (const s of page.spans) this.#take(s);
      this.#rows = [...this.#spans.values()];
      this.list.setCount(this.#rows.length);
      this.#draw();
      if (this.#after < this.#total && this.#after < this.#allowed) this.#refresher.ask();
    } catch (err) {
      if (id !== this.#id) return;
      setText(this.note, `The timeline could not be read: ${err.message}`);
      setAttr(this.note, "data-tone", "bad");
    }
  }

  /** A span whose beginning was on an earlier page begins there. */
  #take(s) {
    const known = this.#spans.get(s.id);
    if (known && Date.parse(known.start) < Date.parse(s.start) && s.end) s.start = known.start;
    if (known) Object.assign(known, { end: undefined, error: undefined, until: undefined }, s);
    else this.#spans.set(s.id, s);
  }

  /** From when to when the run has gone, in ms. */
  #bounds() {
    let from = Infinity;
    let to = 0;
    const now = this.#until + (this.#ended ? 0 : performance.now() - this.#at);
    for (const s of this.#rows) {
      from = Math.min(from, Date.parse(s.start));
      to = Math.max(to, s.end ? Date.parse(s.end) : this.#ended ? Date.parse(s.start) : now);
    }
    return [from, Math.max(to, from + 1)];
  }

  #window() {
    const [from, to] = this.#bounds();
    const width = (to - from) / this.#zoom;
    const start = from + this.#left * (to - from);
    return [start, start + width, from, to];
  }

  #zoomTo(zoom, at = 0.5) {
    const next = Math.max(1, Math.min(ZOOM_MAX, zoom));
    const fixed = this.#left + at / this.#zoom;
    this.#zoom = next;
    this.#left = Math.max(0, Math.min(1 - 1 / next, fixed - at / next));
    this.#draw();
  }

  /** pan moves the window by shares of its width. */
  #pan(by) {
    this.#left = Math.max(0, Math.min(1 - 1 / this.#zoom, this.#left + by / this.#zoom));
    this.#draw();
  }

  #key(e) {
    const act = { "+": () => this.#zoomTo(this.#zoom * 2), "=": () => this.#zoomTo(this.#zoom * 2), "-": () => this.#zoomTo(this.#zoom / 2), 0: () => this.#zoomTo(1), ArrowLeft: () => this.#pan(-0.25), ArrowRight: () => this.#pan(0.25) }[e.key];
    if (!act || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    act();
  }

  /** The wheel zooms with Ctrl, and moves sideways with Shift; else the rows scroll. */
  #wheel(e) {
    if (e.ctrlKey) {
      e.preventDefault();
      const box = this.axis.getBoundingClientRect();
      this.#zoomTo(this.#zoom * (e.deltaY < 0 ? 1.25 : 0.8), Math.max(0, Math.min(1, (e.clientX - box.left) / box.width)));
    } else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      e.preventDefault();
      this.#pan((e.deltaX || e.deltaY) / 600);
    }
  }

  #draw() {
    const none = this.#rows.length === 0;
    this.empty.hidden = !none;
    this.list.element.hidden = none;
    this.axis.parentElement.hidden = none;
    if (none || !this.#visible) return;
    const [start, end, from] = this.#window();
    const step = tick(end - start, Math.max(2, Math.floor(this.axis.clientWidth / 90)));
    const marks = [];
    for (let t = Math.ceil((start - from) / step) * step; from + t <= end; t += step) {
      if (from + t > end - (end - start) * 0.06 && t > 0) break; // its text would leave the page
      marks.push(h("span", { style: { left: `${((from + t - start) / (end - start)) * 100}%` } }, t === 0 ? "0" : duration(t / 1000).replace(/\.0+ /, " ")));
    }
    this.axis.replaceChildren(...marks);
    setAttr(this.note, "data-tone", null);
    const rest = this.#total - this.#after;
    setText(this.note, `${exact(this.#rows.length)} ${this.#rows.length === 1 ? "span" : "spans"}${rest > 0 && this.#after >= this.#allowed ? ` of the first ${exact(this.#after)} events; ${exact(rest)} are left` : ""}${this.#zoom > 1 ? ` · ×${Math.round(this.#zoom)}` : ""}`);
    this.more.hidden = !(rest > 0 && this.#after >= this.#allowed);
    this.list.refresh();
  }

  #make() {
    const bar = h("span", { class: "t-bar" });
    return h("div", { class: "timeline-row" }, h("span", { role: "rowheader", class: "t-name" }), h("span", { role: "cell", class: "t-track" }, bar, h("span", { class: "t-text" })));
  }

  #fill(el, index) {
    const s = this.#rows[index];
    if (!s) return;
    const [start, end] = this.#window();
    const name = el.firstElementChild;
    const [bar, text] = el.lastElementChild.children;
    setText(name, label(s));
    setAttr(name, "title", label(s));
    setAttr(el, "data-kind", s.kind);
    const a = Date.parse(s.start);
    const b = s.end ? Date.parse(s.end) : this.#ended ? a : this.#until + (performance.now() - this.#at);
    const share = (t) => Math.max(0, Math.min(1, (t - start) / (end - start)));
    const [x, w] = [share(a), share(b) - share(a)];
    const seen = b >= start && a <= end;
    setAttr(bar, "data-tone", look(s.state)[1]);
    setAttr(bar, "data-state", s.state);
    bar.style.setProperty("left", `${x * 100}%`);
    bar.style.setProperty("width", `${w * 100}%`);
    bar.style.setProperty("visibility", seen ? "visible" : "hidden");
    const took = s.state === "skipped" ? "skipped" : duration(Math.max(0, b - a) / 1000);
    setText(text, s.error ? `${took} · ${s.error}` : s.end || this.#ended ? took : `${took} · ${s.state}`);
    // The text stands behind the bar, or before it where there is more room.
    const before = x > 1 - x - w;
    text.style.setProperty(before ? "right" : "left", `calc(${(before ? 1 - x : x + w) * 100}% + 6px)`);
    text.style.removeProperty(before ? "left" : "right");
    text.style.setProperty("max-width", `calc(${(before ? x : 1 - x - w) * 100}% - 8px)`);
    text.style.setProperty("visibility", seen ? "visible" : "hidden");
    setAttr(el, "aria-label", `${label(s)}, ${s.state}, ${took}`);
  }
}
