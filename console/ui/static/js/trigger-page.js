// The page of one trigger: its settings, and what became of its last deliveries.

import { h, setText } from "./dom.js";
import { part } from "./api.js";
import { int, moment } from "./format.js";
import { commandLine, commands } from "./cli.js";
import { EntryPage, definedBy, pairs } from "./entry-page.js";
import { deleteButton } from "./entry-actions.js";
import { runLink } from "./runs.js";
import { badge } from "./states.js";
import { triggerActions } from "./trigger-actions.js";
import { listens } from "./triggers.js";

const OUTCOMES = { started: "good", repeated: "", refused: "warn", failed: "bad" };

/** Where requests for a webhook go. */
const address = (t) => `${location.origin}/api/hooks/${part(t.name)}`;

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

export class TriggerPage extends EntryPage {
  constructor() {
    super({ kind: "trigger", events: ["runs"] });
    this.settings = h("dl", { class: "pairs" });
    this.inputs = h("dl", { class: "pairs" });
    this.deliveries = h("tbody", {});
    this.note = h("p", { class: "empty" }, "Nothing has been delivered since the node started.");
    this.cli = h("div", { class: "page-cli" });
    this.card.append(h("div", { class: "halves" }, h("div", {}, h("h3", {}, "Settings"), this.settings), h("div", {}, h("h3", {}, "Inputs of its runs"), this.inputs)), this.cli);
    this.delivered = h("div", { class: "table-scroll" }, h("table", { class: "list", "aria-label": "Deliveries" },
      h("thead", {}, h("tr", {}, ["Time", "Outcome", "Id", "Run", "Why"].map((t) => h("th", { scope: "col" }, t)))), this.deliveries));
    this.element.append(h("section", { class: "card" }, h("header", { class: "card-head" }, h("h2", {}, "Last deliveries")), this.note, this.delivered));
  }

  draw(t, other) {
    const c = t.counts;
    const [state, tone] = listens(t);
    this.facts.replaceChildren(h("span", {}, "starts ", h("a", { href: `/workflows/${part(t.workflow)}` }, t.workflow), t.version ? ` v${t.version}` : ""),
      h("span", {}, h("b", {}, t.kind)), t.paused ? "" : h("span", { "data-tone": tone || null }, state),
      h("span", {}, h("b", {}, int(c.started)), " started"), h("span", {}, h("b", {}, int(c.repeated)), " repeated"),
      h("span", { "data-tone": c.refused > 0 ? "warn" : null }, h("b", {}, int(c.refused)), " refused"), h("span", { "data-tone": c.failed > 0 ? "bad" : null }, h("b", {}, int(c.failed)), " failed"));
    this.note.hidden = t.deliveries.length > 0;
    this.delivered.hidden = !this.note.hidden;
    this.deliveries.replaceChildren(...t.deliveries.map((d) => h("tr", {},
      h("td", {}, h("time", { datetime: d.time, title: d.time }, moment(d.time))), h("td", {}, h("span", { "data-tone": OUTCOMES[d.outcome] || null }, d.outcome)),
      h("td", { class: "clip mono", title: d.id }, d.id ?? ""), h("td", {}, d.run ? runLink(d.run) : h("span", { class: "faded" }, "–")), h("td", { class: "clip", title: d.reason }, d.reason ?? ""))));
    if (!other) return;
    this.state.replaceChildren(t.paused ? badge("paused") : "");
    this.actions.replaceChildren(...triggerActions(t, () => this.ask()), t.defined ? "" : deleteButton("trigger", t, "Nothing is taken in by it any more. Runs under way go on, and what it has started is still known."));
    pairs(this.settings, [["Address", t.kind === "webhook" ? address(t) : ""], ...Object.entries(t.with ?? {}).map(([k, v]) => [k, shown(v)]), ["Key", t.key], ["Known by", t.dedup], ["Comment", t.comment], ["Defined", t.defined ? definedBy(t) : ""]]);
    pairs(this.inputs, Object.entries(t.inputs ?? {}));
    if (!this.inputs.childElementCount) this.inputs.replaceChildren(h("dd", { class: "faded" }, "Those of the workflow's definition."));
    this.cli.replaceChildren(commands(commandLine("troupe", "trigger", "show", t.name), commandLine("troupe", "run", "list", "--trigger", `trigger/${t.name}`), ...(t.defined ? [] : [commandLine("troupe", "trigger", "delete", t.name)])));
  }

  missing(name) {
    setText(this.problem, `There is no trigger ${name}. It may have been deleted.`);
  }
}
