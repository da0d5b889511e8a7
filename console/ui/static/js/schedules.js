// The page "Schedules": when each starts what, and what became of it.

import { h, reconcile, setAttr, setText } from "./dom.js";
import { int } from "./format.js";
import { get } from "./api.js";
import { command } from "./cli.js";
import { Refresher, listen } from "./live.js";
import { badge, setBadge } from "./states.js";
import { inZone, until } from "./zone.js";
import { runLink } from "./runs.js";
import { scheduleActions } from "./schedule-actions.js";

/** rhythm says when a schedule is due. */
export function rhythm(s) {
  if (s.cron) return `${s.cron} · ${s.time_zone || "UTC"}`;
  if (s.every) return `every ${s.every}`;
  if (s.delay) return `${s.delay} after the last run`;
  return s.at ? `once, ${inZone(s.at, "")}` : "";
}

/** How often the list is read again without being told of a change. */
const AGE_MS = 10_000;

export class SchedulesPage {
  title = "Schedules";
  #stop = [];
  #list = [];
  #refresher = new Refresher(() => this.#read(), 1000);

  constructor() {
    this.note = h("span", { class: "count", role: "status" });
    this.empty = h("div", { class: "empty" });
    this.rows = h("tbody", {});
    this.table = h("table", { class: "list schedules", "aria-label": "Schedules", hidden: true },
      h("thead", {}, h("tr", {}, ["Schedule", "Workflow", "When", "Next", "Last run"].map((t) => h("th", { scope: "col" }, t)),
        h("th", { scope: "col", class: "number", title: "Runs that were started" }, "Started"),
        h("th", { scope: "col", class: "number", title: "Instants without a run: because one was under way, because it was too late, because none could be started" }, "Not"),
        h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Actions")))), this.rows);
    this.element = h("div", { class: "column" }, h("section", { class: "card" },
      h("header", { class: "card-head" }, h("h2", {}, "Schedules"), this.note),
      h("div", { class: "scroll-edge" }, h("div", { class: "table-scroll" }, this.table)), this.empty, h("div", { class: "page-cli" }, command("troupe schedule list"))));
  }

  show() {
    this.hide();
    this.#stop = [
      listen("runs", () => this.#refresher.ask()),
      listen("schedules", () => this.#refresher.ask()),
      clearInterval.bind(null, setInterval(() => this.#refresher.ask(), AGE_MS)),
      clearInterval.bind(null, setInterval(() => this.#tick(), 1000)),
    ];
    this.#refresher.ask();
  }

  hide() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.#refresher.stop();
  }

  async #read() {
    try {
      const { schedules } = await get("/api/schedules");
      this.#list = schedules;
      this.#draw();
    } catch (err) {
      this.empty.hidden = false;
      this.empty.replaceChildren(h("p", { "data-tone": "bad", role: "alert" }, `The schedules could not be read: ${err.message}`));
    }
  }

  #draw() {
    const none = this.#list.length === 0;
    this.empty.hidden = !none;
    this.table.hidden = none;
    setText(this.note, none ? "" : int(this.#list.length));
    if (none) {
      this.empty.replaceChildren(h("p", {}, "Nothing is scheduled. A schedule starts a workflow at the times of a cron expression, at a fixed rate, or once; none fires twice, whatever dies:"),
        command("troupe schedule put nightly --workflow NAME --cron '0 3 * * *' --time-zone Europe/Berlin"));
    }
    reconcile(this.rows, this.#list, (s) => s.name, () => this.#make(), (el, s) => this.#update(el, s));
  }

  #make() {
    const cell = (cls, ...children) => h("td", { class: cls }, ...children);
    return h("tr", {}, h("th", { scope: "row", class: "c-name" }, h("a", { class: "plain" }), badge("paused")), cell("c-workflow", h("a", { class: "plain" })), cell("c-when clip"),
      cell("c-next", h("time", { class: "num" }), " ", h("span", { class: "faded num" })), cell("c-last"), cell("c-fired number"), cell("c-not number"), cell("c-actions number"));
  }

  #update(el, s) {
    el.schedule = s;
    const [name, workflow] = el.querySelectorAll("a.plain");
    setText(name, s.name);
    setAttr(name, "href", `/schedules/${encodeURIComponent(s.name)}`);
    const paused = el.querySelector(".state-badge");
    paused.hidden = !s.paused;
    setBadge(paused, "paused");
    setText(workflow, s.workflow);
    setAttr(workflow, "href", `/workflows/${encodeURIComponent(s.workflow)}`);
    setText(el.querySelector(".c-when"), rhythm(s));
    setAttr(el.querySelector(".c-when"), "title", s.comment || rhythm(s));
    const last = el.querySelector(".c-last");
    if (last.dataset.run !== (s.last_run ?? "")) {
      last.dataset.run = s.last_run ?? "";
      last.replaceChildren(s.last_run ? runLink(s.last_run) : h("span", { class: "faded" }, "none yet"));
    }
    setText(el.querySelector(".c-fired"), int(s.counts.fired));
    const not = s.counts.skipped + s.counts.missed + s.counts.failed;
    const notEl = el.querySelector(".c-not");
    setText(notEl, int(not));
    setAttr(notEl, "data-tone", not > 0 ? "warn" : null);
    setAttr(notEl, "title", `${int(s.counts.skipped)} skipped, ${int(s.counts.missed)} missed, ${int(s.counts.failed)} failed`);
    const actions = el.querySelector(".c-actions");
    if (actions.dataset.paused !== String(Boolean(s.paused))) {
      actions.dataset.paused = String(Boolean(s.paused));
      actions.replaceChildren(h("div", { class: "actions" }, scheduleActions(s, () => this.#refresher.ask())));
    }
    this.#next(el, s);
  }

  #next(el, s) {
    const [time, rest] = el.querySelector(".c-next").children;
    const next = s.paused ? null : s.next?.[0];
    setText(time, next ? until(next) : "–");
    setAttr(time, "datetime", next);
    setAttr(time, "title", next ? inZone(next, s.time_zone || "UTC") : null);
    setText(rest, next ? inZone(next, "") : s.paused ? "" : "no more");
  }

  #tick() {
    for (const el of this.rows.children) this.#next(el, el.schedule);
  }
}
