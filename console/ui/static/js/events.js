// The list of what happened last: failures, restarts, dead letters, alerts.

import { byId, h, icon, reconcile, setAttr, setText } from "./dom.js";
import { int, moment } from "./format.js";

const KINDS = {
  failure: ["cross", "bad", "failed", "Failures"],
  restart: ["loop", "warn", "restarted", "Restarts"],
  dead_letter: ["letter", "warn", "dead letter", "Dead letters"],
  alert: ["warn", "bad", "alert", "Alerts"],
  stop: ["square", "idle", "stopped", "Stops"],
};
const SHOWN = 200;

export class Events {
  #events = new Map(); // seq → event
  #hidden = new Set();
  #first = true;
  #chips = new Map();
  #onActor;

  /** onActor(path) is called when an actor's path is clicked. */
  constructor(onActor) {
    this.#onActor = onActor;
    for (const [kind, [glyph, tone, , name]] of Object.entries(KINDS)) {
      const count = h("span", { class: "n" }, "0");
      const chip = h("button", {
        type: "button", class: "chip", "aria-pressed": "true", title: name, "aria-label": name,
        onclick: () => {
          if (!this.#hidden.delete(kind)) this.#hidden.add(kind);
          chip.setAttribute("aria-pressed", String(!this.#hidden.has(kind)));
          this.#render();
        },
      }, icon(glyph), count);
      chip.firstElementChild.dataset.tone = tone;
      this.#chips.set(kind, count);
      byId("event-filters").append(chip);
    }
  }

  /** update adds events; with reset they replace what is shown. */
  update({ reset, events, counts }) {
    if (reset) this.#events.clear();
    const fresh = new Set();
    for (const e of events) {
      if (!this.#events.has(e.seq) && !this.#first && !reset) fresh.add(e.seq);
      this.#events.set(e.seq, e);
    }
    this.#first = false;
    const keep = [...this.#events.keys()].sort((a, b) => b - a).slice(0, 2 * SHOWN);
    this.#events = new Map(keep.map((k) => [k, this.#events.get(k)]));
    for (const [kind, el] of this.#chips) setText(el, int(counts[kind] ?? 0));
    this.#render(fresh);
  }

  #render(fresh = new Set()) {
    const rows = [...this.#events.values()].filter((e) => !this.#hidden.has(e.kind)).slice(0, SHOWN);
    const empty = byId("events-empty");
    empty.hidden = rows.length > 0;
    setText(empty, this.#events.size > 0 ? "All kinds that happened are hidden." : "Nothing has failed.");
    reconcile(byId("event-list"), rows, (e) => String(e.seq), (e) => this.#make(e, fresh.has(e.seq)), () => {});
  }

  #make(e, fresh) {
    const [glyph, tone, word] = KINDS[e.kind] ?? ["dot", "idle", e.kind];
    const mark = icon(glyph);
    setAttr(mark, "data-tone", tone);
    return h("li", { class: fresh ? "event fresh" : "event" }, mark,
      h("time", { datetime: e.time, title: e.time }, moment(e.time)),
      h("div", { class: "what" },
        e.actor ? h("button", { type: "button", class: "link", onclick: () => this.#onActor(e.actor) }, e.actor) : null,
        e.actor ? " " : null, h("span", { class: "kind" }, word)),
      e.text ? h("div", { class: "why" }, e.text) : null);
  }
}
