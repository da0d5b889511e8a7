// The list of what happened last: failures, restarts, dead letters, alerts.

import { byId, h, icon, reconcile, setAttr, setIcon, setText } from "./dom.js";
import { int, moment } from "./format.js";

const KINDS = {
  failure: ["cross", "bad", "failed", "Failures"],
  restart: ["loop", "warn", "restarted", "Restarts"],
  dead_letter: ["letter", "warn", "dead letter", "Dead letters"],
  alert: ["warn", "bad", "alert", "Alerts"],
  stop: ["square", "idle", "stopped", "Stops"],
};
const SHOWN = 200;

/** What one cause did to an actor is one row, if it happened within this time. */
const TOGETHER_MS = 1000;

/** The kind that gives a row its icon and its first word. */
const GRAVEST = ["failure", "alert", "stop", "restart", "dead_letter"];

/**
 * grouped puts together what one cause did to an actor: its failure, the message
 * that was lost by it, its restart or end. An alert is always a row of its own,
 * and so is each failure. Newest first, as the events are.
 */
export function grouped(events) {
  const rows = [];
  const open = new Map(); // path of an actor → its last row
  for (const e of events.toReversed()) {
    const row = open.get(e.actor);
    const joins = row && e.kind !== "alert" && !row.events.some((o) => o.kind === e.kind) &&
      Date.parse(e.time) - Date.parse(row.events[0].time) <= TOGETHER_MS;
    if (joins) {
      row.events.push(e);
      continue;
    }
    const made = { key: String(e.seq), events: [e] };
    rows.push(made);
    if (e.actor && e.kind !== "alert") open.set(e.actor, made);
  }
  for (const row of rows) row.events.sort((a, b) => GRAVEST.indexOf(a.kind) - GRAVEST.indexOf(b.kind));
  return rows.reverse();
}

/** reasons are the texts of a row; what was said about the failure is not said again of the message lost by it. */
function reasons([first, ...rest]) {
  const more = rest.map((e) => {
    const [message, reason] = e.kind === "dead_letter" && e.text ? e.text.split(/: (.*)/s) : [];
    return reason && first.text?.startsWith(reason) ? `lost ${message}` : e.text;
  });
  return [first.text, ...more].filter(Boolean).join(" · ");
}

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
    const rows = grouped([...this.#events.values()].filter((e) => !this.#hidden.has(e.kind))).slice(0, SHOWN);
    const empty = byId("events-empty");
    empty.hidden = rows.length > 0;
    setText(empty, this.#events.size > 0 ? "All kinds that happened are hidden." : "Nothing has failed.");
    reconcile(byId("event-list"), rows, (r) => r.key, (r) => this.#make(r, r.events.some((e) => fresh.has(e.seq))), (el, r) => this.#update(el, r));
  }

  #make({ events: [first] }, fresh) {
    const el = h("li", { class: fresh ? "event fresh" : "event" }, icon("dot"),
      h("time", { datetime: first.time, title: first.time }, moment(first.time)),
      h("div", { class: "what" },
        first.actor ? [h("button", { type: "button", class: "link", onclick: () => this.#onActor(first.actor) }, first.actor), " "] : null,
        h("span", { class: "kind" })),
      h("div", { class: "why" }));
    return el;
  }

  /** A row grows while more of what belongs to it arrives. */
  #update(el, { events }) {
    const [glyph, tone] = KINDS[events[0].kind] ?? ["dot", "idle"];
    const mark = el.querySelector(".icon");
    setIcon(mark, glyph);
    setAttr(mark, "data-tone", tone);
    setText(el.querySelector(".kind"), events.map((e) => (KINDS[e.kind] ?? [, , e.kind])[2]).join(", "));
    setText(el.querySelector(".why"), reasons(events));
  }
}
