// The page "Workflows": each with its active version, how its runs went, and
// when it runs next.

import { h, setAttr, setText } from "./dom.js";
import { int, moment, plural } from "./format.js";
import { get, part } from "./api.js";
import { command } from "./cli.js";
import { ListPage, cell } from "./list-page.js";
import { brief } from "./runs.js";
import { badge, look, setBadge } from "./states.js";
import { inZone, until } from "./zone.js";

/** States in the order in which their counts stand. */
const COUNTED = ["running", "waiting", "paused", "stopping", "completed", "failed", "cancelled"];

/** workflowsPage lists them. */
export function workflowsPage() {
  let activities = new Map();
  const due = new Map(); // workflow → [instant, schedule]
  return new ListPage({
    title: "Workflows", path: "/api/workflows", field: "workflows", cli: "troupe workflow list", events: ["runs", "workflows"],
    columns: ["Workflow", "Version", "Its last runs", "Last run", "Next", "Rollout"],
    empty: [h("p", {}, "No workflow is deployed on this node. A workflow is a YAML file; check and deploy one with:"), command("troupe workflow deploy workflow.yaml")],
    read: async () => {
      const [activity, schedules] = await Promise.all([get("/api/activity").catch(() => null), get("/api/schedules?limit=1000").catch(() => null)]);
      if (activity) activities = new Map(activity.workflows.map((a) => [a.workflow, a]));
      due.clear();
      for (const s of schedules?.schedules ?? []) {
        const at = s.paused ? null : s.next?.[0];
        if (at && !(due.get(s.workflow)?.[0] <= at)) due.set(s.workflow, [at, s.name]);
      }
    },
    key: (w) => w.workflow, make,
    update: (el, w) => {
      update(el, w, activities.get(w.workflow));
      el.due = due.get(w.workflow);
      next(el);
    },
    tick: next,
  });
}

function make() {
  return h("tr", {}, h("th", { scope: "row" }, h("a", { class: "plain" })), cell("c-version num"), cell("c-counts"), cell("c-last"),
    cell("c-next", h("a", { class: "plain num" }), " ", h("span", { class: "faded num" })), cell("c-rollout"));
}

function update(el, w, a) {
  const name = el.querySelector("th a");
  setText(name, w.workflow);
  setAttr(name, "title", w.workflow);
  setAttr(name, "href", `/workflows/${encodeURIComponent(w.workflow)}`);
  setText(el.querySelector(".c-version"), `v${w.version}`);
  const shown = JSON.stringify(a ?? null);
  if (el.dataset.activity === shown) return;
  el.dataset.activity = shown;
  el.querySelector(".c-counts").replaceChildren(...(a ? counts(w.workflow, a) : [h("span", { class: "faded" }, "…")]));
  el.querySelector(".c-last").replaceChildren(...(a?.last ? lastRun(a.last) : [h("span", { class: "faded" }, a ? "never" : "")]));
  el.querySelector(".c-rollout").replaceChildren(...(a?.rollout ? rollout(w.workflow, a.rollout) : [h("span", { class: "faded" }, "–")]));
}

function next(el) {
  const [link, when] = el.querySelector(".c-next").children;
  const [at, schedule] = el.due ?? [];
  setText(link, at ? until(at) : "–");
  setAttr(link, "href", at ? `/schedules/${part(schedule)}` : null);
  setAttr(link, "title", schedule);
  setText(when, at ? inZone(at, "") : "");
}

/** counts shows how many of the last runs are in each state. */
function counts(name, a) {
  const some = COUNTED.filter((s) => a.states[s] > 0);
  if (some.length === 0) return [h("span", { class: "faded" }, "none yet")];
  return some.map((s) => h("a", { class: "tally", "data-tone": look(s)[1], href: `/runs?${new URLSearchParams({ workflow: name, state: s })}`, title: `${s}, of the last ${int(a.of)} runs` }, h("b", {}, int(a.states[s])), ` ${s}`));
}

function lastRun(r) {
  const el = badge();
  setBadge(el, r.state);
  return [el, h("a", { class: "plain mono", href: `/runs/${encodeURIComponent(r.id)}`, title: r.id }, ` ${brief(r.id)} `), h("time", { class: "faded num", datetime: r.started }, moment(r.started))];
}

/** rollout says in a line how far a change is, and how its runs do. */
function rollout(name, r) {
  const arms = (r.arms ?? []).map((a) => `v${a.version}: ${plural(a.runs, "run")}, ${int(a.failed)} failed`).join(" · ");
  const share = r.state === "active" ? (r.candidate ? `v${r.candidate} at ${r.percent} %` : "split") : r.state.replace("_", " ");
  return [h("a", { class: "plain", href: `/workflows/${encodeURIComponent(name)}?tab=rollout`, title: [r.reason, arms].filter(Boolean).join("\n") }, share),
    r.state === "active" ? h("span", { class: "faded" }, ` ${arms}`) : null].filter(Boolean);
}
