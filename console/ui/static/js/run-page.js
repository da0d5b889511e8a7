// The page of one run: its graph, and below it what happened, line by line.

import { h, setAttr, setText, toast } from "./dom.js";
import { clock, duration, int, moment, plural } from "./format.js";
import { get } from "./api.js";
import { commandLine, commands, copyButton } from "./cli.js";
import { Graph } from "./graph.js";
import { History } from "./history.js";
import { listen } from "./live.js";
import { Logs } from "./logs.js";
import { NodeDetails, output, waitText } from "./node-details.js";
import { Result } from "./result.js";
import { setQuery, titled } from "./router.js";
import { RunActions } from "./run-actions.js";
import { runLink } from "./runs.js";
import { badge, final, setBadge } from "./states.js";
import { Tabs } from "./tabs.js";
import { Timeline } from "./timeline.js";

const NARROW = matchMedia("(max-width: 740px)");

export class RunPage {
  #id = "";
  #view = null;
  #selected = "";
  #stop = [];
  #clock = 0;
  #watch;

  /** watch(id) asks the stream for a run, "" for none; onActor(path) shows an actor; card is an empty section "Result". */
  constructor({ watch, onActor, card }) {
    this.#watch = watch;
    this.heading = h("h2", { class: "run-name" });
    this.state = badge();
    this.id = h("code", { class: "run-id" });
    this.facts = h("p", { class: "facts" });
    this.error = h("p", { class: "problem", hidden: true });
    this.waits = h("ul", { class: "waits", "aria-label": "What the run waits for" });
    this.actions = new RunActions({ changed: () => this.#read() });
    this.cli = h("div", { class: "page-cli" });
    this.graphBox = h("div", { class: "graph" });
    this.graph = new Graph(this.graphBox, (id) => this.#select(this.#selected === id ? "" : id));
    this.details = new NodeDetails(h("div", { class: "node-details", hidden: true }), {
      onClose: () => this.#select(""), onActor, more: (run, node) => this.#more(run, node),
    });
    this.timeline = new Timeline({ onNode: (id) => this.#select(id) });
    this.history = new History({ onChange: () => this.#remember() });
    this.logs = new Logs({ onChange: () => this.#remember() });
    this.result = new Result(card);
    this.inout = h("div", { class: "inout" });
    this.tabs = new Tabs({
      label: "What happened",
      tabs: [
        ["timeline", "Timeline", this.timeline], ["history", "History", this.history], ["logs", "Logs", this.logs],
        ["result", "Result", { element: card }], ["data", "Inputs and output", { element: this.inout }],
      ],
      onPick: () => this.#remember(),
    });
    this.head = h("section", { class: "card" },
      h("header", { class: "card-head" }, this.heading, this.state, h("span", { class: "run-ident" }, this.id, copyButton(() => this.#id)), h("span", { class: "spacer" }), this.actions.element),
      this.facts, this.error, this.waits,
      h("div", { class: "scroll-edge" }, this.graphBox), this.details.element, this.cli);
    this.missing = h("section", { class: "card lost", hidden: true, role: "alert" });
    this.body = h("div", { class: "column" }, this.head, this.tabs.element);
    this.element = h("div", {}, this.missing, this.body);
    NARROW.addEventListener("change", () => this.#draw());
  }

  show({ id }, query) {
    if (id !== this.#id) {
      this.hide();
      this.#id = id;
      this.#view = null;
      this.#selected = query.get("node") ?? "";
      this.body.setAttribute("aria-busy", "true");
      this.missing.hidden = true;
      this.body.hidden = false;
      setText(this.heading, "Run");
      setText(this.id, id);
      this.graph.clear("");
      for (const part of [this.timeline, this.history, this.logs]) part.open(id, query);
    }
    titled(`Run ${id.slice(0, 8)}`);
    this.tabs.pick(query.get("tab") ?? "timeline");
    this.#watch(id);
    if (this.#stop.length === 0) {
      this.#stop = [listen("run", (view) => { if (view.run.id === this.#id) this.#update(view); })];
      this.#clock = setInterval(() => { if (this.#view && !final(this.#view.run.state)) this.#facts(this.#view.run); }, 1000);
    }
    this.#read();
  }

  hide() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    clearInterval(this.#clock);
    for (const part of [this.timeline, this.history, this.logs]) part.close();
    this.#watch("");
    this.#id = "";
  }

  async #read() {
    const id = this.#id;
    try {
      const view = await get(`/api/runs/${encodeURIComponent(id)}`);
      if (id === this.#id) this.#update(view);
    } catch (err) {
      if (id !== this.#id) return;
      if (this.#view) {
        toast(err.message);
        return;
      }
      this.body.hidden = err.status === 404;
      this.missing.hidden = false;
      this.missing.replaceChildren(h("h2", {}, err.status === 404 ? "There is no such run" : "The run could not be read"),
        h("p", { class: "empty" }, err.status === 404 ? "It may have been removed: a node keeps only the newest runs of a workflow. " : `${err.message} `, h("a", { href: "/runs" }, "See the runs that are there.")));
    }
  }

  #update(view) {
    const first = this.#view === null;
    if (this.#view && this.#view.run.events > view.run.events) return; // an older answer
    this.#view = view;
    this.missing.hidden = true;
    this.body.hidden = false;
    this.body.setAttribute("aria-busy", "false");
    const { run } = view;
    this.timeline.update(run);
    this.history.update(run);
    this.logs.update(run);
    this.result.update(run);
    this.actions.update(run);
    this.#draw();
    if (first) this.#data(run);
    else if (final(run.state)) this.#data(run);
  }

  #draw() {
    if (!this.#view) return;
    const { run, layouts } = this.#view;
    if (this.heading.dataset.of !== run.workflow + run.version) {
      this.heading.dataset.of = run.workflow + run.version;
      this.heading.replaceChildren(h("a", { class: "plain", href: `/workflows/${encodeURIComponent(run.workflow)}` }, run.workflow), h("span", { class: "faded" }, ` v${run.version}`));
    }
    setBadge(this.state, run.state);
    this.#facts(run);
    setText(this.error, run.error ?? "");
    this.error.hidden = !run.error;
    this.#waits(run);
    if (layouts) this.graph.update(run, NARROW.matches ? layouts.down : layouts.right, this.#selected);
    else this.graph.clear("This graph is too large to draw. The timeline and the history have all of it.");
    this.details.update(run, this.#selected);
    const cli = commandLine("troupe", "run", "show", run.id);
    if (this.cli.dataset.shown !== cli) {
      this.cli.dataset.shown = cli;
      this.cli.replaceChildren(commands(cli, commandLine("troupe", "run", "history", run.id), commandLine("troupe", "run", "logs", run.id, "--follow")));
    }
  }

  #facts(run) {
    const rows = (role, what) => run.nodes.filter((n) => n.role === role).reduce((sum, n) => sum + n[what], 0);
    const took = Math.max(0, (run.finished ? new Date(run.finished) : Date.now()) - new Date(run.started)) / 1000;
    const read = rows("source", "rows_in");
    const written = rows("sink", "rows_out");
    const { key, trigger, parent, rerun_of: rerunOf } = run.start;
    const facts = [
      ["started ", clock(run.started) === moment(run.started) ? clock(run.started) : moment(run.started)],
      [run.finished ? "took " : "for ", duration(run.finished ? took : Math.floor(took))],
      trigger ? ["by ", trigger] : null, key ? ["key ", key] : null,
      read + written > 0 ? ["", int(read), " rows read"] : null, read + written > 0 ? ["", int(written), " written"] : null,
      ["", int(run.events), run.events === 1 ? " event" : " events"],
    ].filter(Boolean);
    const shown = JSON.stringify([facts, run.rejected_total]);
    if (this.facts.dataset.shown === shown) return;
    this.facts.dataset.shown = shown;
    const most = run.nodes.reduce((a, b) => (b.rejected > a.rejected ? b : a), run.nodes[0]);
    this.facts.replaceChildren(...facts.map(([before, value, after = ""]) => h("span", {}, before, h("b", {}, value), after)),
      run.rejected_total > 0 ? h("button", { type: "button", class: "link", "data-tone": "warn", title: "Show the rows set aside", onclick: () => this.#select(most.id) }, `▲ ${int(run.rejected_total)} set aside`) : "",
      parent ? h("span", {}, "part of ", runLink(parent)) : "", rerunOf ? h("span", {}, "repeats ", runLink(rerunOf)) : "");
  }

  /** What the run waits for, with the buttons that answer. */
  #waits(run) {
    const waits = final(run.state) ? [] : run.waits ?? [];
    const shown = JSON.stringify([run.id, waits]);
    if (this.waits.dataset.shown === shown) return;
    this.waits.dataset.shown = shown;
    this.waits.hidden = waits.length === 0;
    this.waits.replaceChildren(...waits.slice(0, 12).map((w) => h("li", {}, h("span", { class: "wait-text" }, `${w.iteration?.length ? "" : w.node + ": "}waits for ${waitText(w)}`), ...this.actions.answers(run, w))),
      waits.length > 12 ? h("li", { class: "faded" }, `and ${plural(waits.length - 12, "more")}; the timeline shows all`.replace("mores", "more")) : "");
  }

  #more(run, node) {
    return [h("div", { class: "node-actions" },
      h("button", { type: "button", onclick: () => { this.tabs.pick("history"); this.history.only(node.id); } }, "Its history"),
      h("button", { type: "button", onclick: () => { this.tabs.pick("logs"); this.logs.only(node.id); } }, "Its logs"),
      node.parent ? null : h("button", { type: "button", onclick: () => this.actions.rerun(run, node.id) }, "Rerun from here…"))];
  }

  #select(id) {
    this.#selected = id;
    this.#draw();
    this.#remember();
    if (id) this.details.element.scrollIntoView({ block: "nearest" });
  }

  #data(run) {
    const inputs = Object.entries(run.start.inputs ?? {});
    this.inout.replaceChildren(
      h("h3", {}, "Inputs that were given"),
      inputs.length > 0 ? h("dl", { class: "pairs" }, inputs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))
        : h("p", { class: "quiet-text" }, "None: every input has the default that the definition gives."),
      run.output !== undefined ? output("Output", run.output) : h("div", {}, h("h3", {}, "Output"), h("p", { class: "quiet-text" }, final(run.state) ? "The run gave out nothing." : "It is here when the run completes.")));
  }

  #remember() {
    if (!this.#id) return;
    const q = new URLSearchParams();
    if (this.tabs.picked !== "timeline") q.set("tab", this.tabs.picked);
    if (this.#selected) q.set("node", this.#selected);
    for (const [name, value] of [...this.history.query(), ...this.logs.query()]) q.set(name, value);
    setQuery(q);
    setAttr(this.body, "data-tab", this.tabs.picked);
  }
}
