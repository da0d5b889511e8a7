// The page "Schedules": when workflows run by themselves.

import { h, setAttr, setText } from "./dom.js";
import { part } from "./api.js";
import { int, words } from "./format.js";
import { command } from "./cli.js";
import { ListPage, actionsHead, cell } from "./list-page.js";
import { go } from "./router.js";
import { badge, setBadge } from "./states.js";
import { inZone, until } from "./zone.js";
import { runLink } from "./runs.js";
import { scheduleActions } from "./schedule-actions.js";

/** rhythm says when a schedule is due. */
export function rhythm(s) {
  if (s.cron) return `${s.cron} · ${s.time_zone || "UTC"}`;
  if (s.every) return `every ${words(s.every)}`;
  if (s.delay) return `${words(s.delay)} after the last run`;
  return s.at ? `once, ${inZone(s.at, "")}` : "";
}

/** schedulesPage lists them, with when each is due next. */
export function schedulesPage() {
  const page = new ListPage({
    title: "Schedules", path: "/api/schedules", field: "schedules", cli: "troupe schedule list", events: ["runs", "schedules"], every: 10_000,
    columns: ["Schedule", "Workflow", "When", "Next", "Last run", h("th", { scope: "col", class: "number", title: "Runs that were started" }, "Started"),
      h("th", { scope: "col", class: "number", title: "Instants without a run: because one was under way, because it was too late, because none could be started" }, "Not"), actionsHead()],
    actions: [h("button", { type: "button", onclick: () => go("/new-schedule") }, "New schedule…")],
    empty: [h("p", {}, "Nothing is scheduled. A schedule starts a workflow at the times of a cron expression, at a fixed rate, or once; none fires twice, whatever dies:"),
      command("troupe schedule put nightly --workflow NAME --cron '0 3 * * *' --time-zone Europe/Berlin")],
    key: (s) => s.name, make, update: (el, s) => update(el, s, () => page.ask()), tick: next,
  });
  return page;
}

function make() {
  return h("tr", {}, h("th", { scope: "row", class: "c-name" }, h("a", { class: "plain" }), badge("paused")), cell("c-workflow", h("a", { class: "plain" })), cell("c-when clip"),
    cell("c-next", h("time", { class: "num" }), " ", h("span", { class: "faded num" })), cell("c-last"), cell("c-fired number"), cell("c-not number"), cell("c-actions number"));
}

/** nameCells shows the name of an entry, that it is paused, its workflow, and what can be done. */
export function nameCells(el, entry, path, actions) {
  const [name, workflow] = el.querySelectorAll("a.plain");
  setText(name, entry.name);
  setAttr(name, "title", entry.name);
  setAttr(name, "href", `${path}/${part(entry.name)}`);
  const paused = el.querySelector(".state-badge");
  paused.hidden = !entry.paused;
  setBadge(paused, "paused");
  setText(workflow, entry.workflow);
  setAttr(workflow, "title", entry.workflow);
  setAttr(workflow, "href", `/workflows/${part(entry.workflow)}`);
  const buttons = el.querySelector(".c-actions");
  if (buttons.dataset.paused !== String(Boolean(entry.paused))) {
    buttons.dataset.paused = String(Boolean(entry.paused));
    buttons.replaceChildren(h("div", { class: "actions" }, actions()));
  }
}

function update(el, s, changed) {
  el.schedule = s;
  nameCells(el, s, "/schedules", () => scheduleActions(s, changed));
  setText(el.querySelector(".c-when"), rhythm(s));
  setAttr(el.querySelector(".c-when"), "title", s.comment || rhythm(s));
  const last = el.querySelector(".c-last");
  if (last.dataset.run !== (s.last_run ?? "none")) {
    last.dataset.run = s.last_run ?? "none";
    last.replaceChildren(s.last_run ? runLink(s.last_run) : h("span", { class: "faded" }, "none yet"));
  }
  setText(el.querySelector(".c-fired"), int(s.counts.fired));
  const not = s.counts.skipped + s.counts.missed + s.counts.failed;
  const notEl = el.querySelector(".c-not");
  setText(notEl, int(not));
  setAttr(notEl, "data-tone", not > 0 ? "warn" : null);
  setAttr(notEl, "title", `${int(s.counts.skipped)} skipped, ${int(s.counts.missed)} missed, ${int(s.counts.failed)} failed`);
  next(el);
}

/** next shows how long it is to the next instant. */
function next(el) {
  const s = el.schedule;
  const [time, rest] = el.querySelector(".c-next").children;
  const at = s.paused ? null : s.next?.[0];
  setText(time, at ? until(at) : "–");
  setAttr(time, "datetime", at);
  setAttr(time, "title", at ? inZone(at, s.time_zone || "UTC") : null);
  setText(rest, at ? inZone(at, "") : s.paused ? "" : "no more");
}
