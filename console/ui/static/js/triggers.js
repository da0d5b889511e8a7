// The page "Triggers": what starts runs besides people and schedules.

import { h, setAttr, setText } from "./dom.js";
import { int } from "./format.js";
import { command } from "./cli.js";
import { ListPage, actionsHead, cell } from "./list-page.js";
import { nameCells } from "./schedules.js";
import { badge } from "./states.js";
import { runLink } from "./runs.js";
import { triggerActions } from "./trigger-actions.js";

/** listens says how a trigger does: a text and a tone. */
export function listens(t) {
  if (t.paused) return ["paused", "warn"];
  if (t.error) return [t.error, "bad"];
  return t.listens ? ["listens", "good"] : ["waits for deliveries", ""];
}

/** triggersPage lists them, with what they have started. */
export function triggersPage() {
  const page = new ListPage({
    title: "Triggers", path: "/api/triggers", field: "triggers", cli: "troupe trigger list", events: ["runs"], every: 10_000,
    columns: ["Trigger", "Workflow", "Type", "State", "Last run", h("th", { scope: "col", class: "number", title: "Runs that were started, since the node started" }, "Started"),
      h("th", { scope: "col", class: "number", title: "Deliveries without a run of their own: they had come before, were refused, or started none" }, "Not"), actionsHead()],
    empty: [h("p", {}, "There is no trigger. A trigger starts a workflow for each delivery, such as a request of another system or a file that appears; one that comes again starts nothing:"),
      command("troupe trigger put orders --workflow NAME --kind webhook --with secret=env:ORDERS_SECRET --input 'order=${{ trigger.body.id }}'")],
    key: (t) => t.name, make, update: (el, t) => update(el, t, () => page.ask()),
  });
  return page;
}

function make() {
  return h("tr", {}, h("th", { scope: "row", class: "c-name" }, h("a", { class: "plain" }), badge("paused")), cell("c-workflow", h("a", { class: "plain" })), cell("c-kind"),
    cell("c-state clip"), cell("c-last"), cell("c-fired number"), cell("c-not number"), cell("c-actions number"));
}

function update(el, t, changed) {
  nameCells(el, t, "/triggers", () => triggerActions(t, changed));
  setText(el.querySelector(".c-kind"), t.kind);
  const [text, tone] = listens(t);
  const state = el.querySelector(".c-state");
  setText(state, t.paused ? "" : text);
  setAttr(state, "data-tone", tone || null);
  setAttr(state, "title", t.error || t.comment || null);
  const last = el.querySelector(".c-last");
  const run = t.deliveries?.find((d) => d.run)?.run ?? "";
  if (last.dataset.run !== (run || "none")) {
    last.dataset.run = run || "none";
    last.replaceChildren(run ? runLink(run) : h("span", { class: "faded" }, "none yet"));
  }
  const c = t.counts;
  setText(el.querySelector(".c-fired"), int(c.started));
  const not = el.querySelector(".c-not");
  setText(not, int(c.repeated + c.refused + c.failed));
  setAttr(not, "data-tone", c.refused + c.failed > 0 ? "warn" : null);
  setAttr(not, "title", `${int(c.repeated)} repeated, ${int(c.refused)} refused, ${int(c.failed)} failed`);
}
