// The page "Workflows": each with its active version, how its runs went, and
// when it runs next.

import { h, reconcile, setAttr, setText } from "./dom.js";
import { int, moment } from "./format.js";
import { get } from "./api.js";
import { command } from "./cli.js";
import { Refresher, listen } from "./live.js";
import { brief } from "./runs.js";
import { badge, look, setBadge } from "./states.js";
import { inZone, until } from "./zone.js";

/** States in the order in which their counts stand. */
const COUNTED = ["running", "waiting", "paused", "stopping", "completed", "failed", "cancelled"];

export class WorkflowsPage {
  title = "Workflows";
  #stop = [];
  #workflows = [];
  #activity = new Map();
  #next = new Map(); // workflow → [instant, schedule]
  #refresher = new Refresher(() => this.#read(), 1000);

  constructor() {
    this.note = h("span", { class: "count", role: "status" });
    this.empty = h("div", { class: "empty" });
    this.rows = h("tbody", {});
    this.table = h("table", { class: "list workflows", "aria-label": "Workflows", hidden: true },
      h("thead", {}, h("tr", {}, ["Workflow", "Version", "Its last runs", "Last run", "Next", "Rollout"].map((t) => h("th", { scope: "col" }, t)))), this.rows);
    this.element = h("div", { class: "column" }, h("section", { class: "card" },
      h("header", { class: "card-head" }, h("h2", {}, "Workflows"), this.note),
      h("div", { class: "table-scroll" }, this.table), this.empty, h("div", { class: "page-cli" }, command("troupe workflow list"))));
  }

  show() {
    this.hide();
    this.#stop = [listen("runs", () => this.#refresher.ask()), listen("workflows", () => this.#refresher.ask()), clearInterval.bind(null, setInterval(() => this.#tick(), 1000))];
    this.#refresher.ask();
  }

  hide() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.#refresher.stop();
  }

  async #read() {
    try {
      const { workflows } = await get("/api/workflows?limit=1000");
      this.#workflows = workflows;
      this.#draw();
    } catch (err) {
      this.empty.hidden = false;
      this.empty.replaceChildren(h("p", { "data-tone": "bad", role: "alert" }, `The workflows could not be read: ${err.message}`));
      return;
    }
    const [activity, schedules] = await Promise.all([get("/api/activity").catch(() => null), get("/api/schedules").catch(() => null)]);
    if (activity) this.#activity = new Map(activity.workflows.map((a) => [a.workflow, a]));
    this.#next.clear();
    for (const s of schedules?.schedules ?? []) {
      const at = s.paused ? null : s.next?.[0];
      if (at && !(this.#next.get(s.workflow)?.[0] <= at)) this.#next.set(s.workflow, [at, s.name]);
    }
    this.#draw();
  }

  #draw() {
    const none = this.#workflows.length === 0;
    this.empty.hidden = !none;
    this.table.hidden = none;
    setText(this.note, none ? "" : int(this.#workflows.length));
    if (none) {
      this.empty.replaceChildren(h("p", {}, "No workflow is deployed on this node. A workflow is a YAML file; check and deploy one with:"),
        command("troupe workflow deploy workflow.yaml"));
    }
    reconcile(this.rows, this.#workflows, (w) => w.workflow, () => this.#make(), (el, w) => this.#update(el, w));
  }

  #make() {
    const cell = (cls, ...children) => h("td", { class: cls }, ...children);
    return h("tr", {}, h("th", { scope: "row" }, h("a", { class: "plain" })), cell("c-version num"), cell("c-counts"), cell("c-last"),
      cell("c-next", h("a", { class: "plain num" }), " ", h("span", { class: "faded num" })), cell("c-rollout"));
  }

  #update(el, w) {
    const name = el.querySelector("th a");
    setText(name, w.workflow);
    setAttr(name, "href", `/workflows/${encodeURIComponent(w.workflow)}`);
    setText(el.querySelector(".c-version"), `v${w.version}`);
    const a = this.#activity.get(w.workflow);
    const shown = JSON.stringify(a ?? null);
    if (el.dataset.activity !== shown) {
      el.dataset.activity = shown;
      el.querySelector(".c-counts").replaceChildren(...(a ? counts(w.workflow, a) : [h("span", { class: "faded" }, "…")]));
      el.querySelector(".c-last").replaceChildren(...(a?.last ? lastRun(a.last) : [h("span", { class: "faded" }, a ? "never" : "")]));
      el.querySelector(".c-rollout").replaceChildren(...(a?.rollout ? rollout(w.workflow, a.rollout) : [h("span", { class: "faded" }, "–")]));
    }
    el.workflow = w.workflow;
    this.#due(el);
  }

  #due(el) {
    const [link, when] = el.querySelector(".c-next").children;
    const [at, schedule] = this.#next.get(el.workflow) ?? [];
    setText(link, at ? until(at) : "–");
    setAttr(link, "href", at ? `/schedules/${encodeURIComponent(schedule)}` : null);
    setAttr(link, "title", schedule);
    setText(when, at ? inZone(at, "") : "");
  }

  #tick() {
    for (const el of this.rows.children) this.#due(el);
  }
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
  const arms = (r.arms ?? []).map((a) => `v${a.version}: ${int(a.runs)} runs, ${int(a.failed)} failed`).join(" · ");
  const share = r.state === "active" && r.candidate ? `v${r.candidate} at ${r.percent} %` : r.state.replace("_", " ");
  return [h("a", { class: "plain", href: `/workflows/${encodeURIComponent(name)}?tab=rollout`, title: r.reason }, share), h("span", { class: "faded" }, ` ${arms}`)];
}
