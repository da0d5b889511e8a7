// The page of one workflow: its graph, a form to start it, its versions, how a
// change is rolled out, and its last runs.

import { h, setText } from "./dom.js";
import { moment } from "./format.js";
import { del, get } from "./api.js";
import { command, commandLine } from "./cli.js";
import { ask } from "./dialog.js";
import { Graph, shapeOf } from "./graph.js";
import { Refresher, listen } from "./live.js";
import { Rollout } from "./rollout.js";
import { go, setQuery, titled } from "./router.js";
import { runLink, took } from "./runs.js";
import { StartForm } from "./start-form.js";
import { badge } from "./states.js";
import { Tabs } from "./tabs.js";
import { Versions } from "./versions.js";

const NARROW = matchMedia("(max-width: 740px)");

export class WorkflowPage {
  #name = "";
  #wanted = 0; // the version on display, 0: the active one
  #active = 0;
  #view = null;
  #selected = "";
  #stop = [];
  #refresher = new Refresher(() => this.#recent(), 1000);

  constructor() {
    this.heading = h("h2", { class: "run-name" });
    this.version = h("span", { class: "badge" });
    this.facts = h("p", { class: "facts" });
    this.doc = h("p", { class: "facts" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.graphBox = h("div", { class: "graph still" });
    this.graph = new Graph(this.graphBox, (id) => {
      this.#selected = this.#selected === id ? "" : id;
      this.#draw();
    });
    this.node = h("div", { class: "node-details", hidden: true });
    this.text = h("pre", { class: "json definition", tabindex: "0" });
    this.form = new StartForm();
    this.versions = new Versions({ onShow: (version) => this.#show(version), onChanged: () => this.#reload() });
    this.rollout = new Rollout({ onChanged: () => this.#reload() });
    this.runs = h("div", { class: "recent" });
    this.tabs = new Tabs({
      label: "The workflow",
      tabs: [
        ["start", "Start", this.form], ["runs", "Last runs", { element: this.runs, visible: (on) => on && this.#refresher.ask() }], ["versions", "Versions", this.versions],
        ["rollout", "Rollout", this.rollout], ["definition", "Definition", { element: this.text }],
      ],
      onPick: () => this.#remember(),
    });
    this.element = h("div", { class: "column" },
      h("section", { class: "card" },
        h("header", { class: "card-head" }, this.heading, this.version, h("span", { class: "spacer" }),
          h("div", { class: "actions" }, h("button", { type: "button", onclick: () => go(`/new-schedule?${new URLSearchParams({ workflow: this.#name })}`) }, "Schedule…"),
            h("button", { type: "button", class: "danger", onclick: () => this.#delete() }, "Delete…")),
          h("a", { class: "plain", href: "/workflows" }, "All workflows")),
        this.doc, this.facts, this.problem, h("div", { class: "scroll-edge" }, this.graphBox), this.node),
      this.tabs.element);
    NARROW.addEventListener("change", () => this.#draw());
  }

  show({ name }, query) {
    const other = name !== this.#name;
    this.#name = name;
    titled(name);
    setText(this.heading, name);
    this.#wanted = Number(query.get("version")) || 0;
    this.tabs.pick(query.get("tab") ?? "start");
    this.rollout.visible(this.tabs.picked === "rollout");
    if (other) {
      this.#view = null;
      this.#active = 0;
      this.#selected = "";
      this.graph.clear("");
      this.runs.replaceChildren();
    }
    if (this.#stop.length === 0) {
      this.#stop = [
        listen("runs", () => { if (this.tabs.picked === "runs") this.#refresher.ask(); }),
        listen("workflows", ({ workflows }) => {
          const now = workflows.find((w) => w.workflow === this.#name);
          if (now && this.#active && now.version !== this.#active) this.#reload(); // by a rollout, or by somebody else
        }),
      ];
    }
    this.#reload();
  }

  hide() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.#refresher.stop();
    this.rollout.visible(false);
    this.#name = "";
  }

  #show(version) {
    this.#wanted = version;
    this.#remember();
    this.#reload();
  }

  async #reload() {
    const name = this.#name;
    const path = `/api/workflows/${encodeURIComponent(name)}`;
    try {
      const active = await get(path);
      const view = await get(`${path}/versions/${this.#wanted || active.version}`);
      if (name !== this.#name) return;
      this.#view = view;
      this.#active = active.version;
      this.rollout.open(name, active.version);
      this.problem.hidden = true;
      this.#draw();
    } catch (err) {
      if (name !== this.#name) return;
      this.problem.hidden = false;
      setText(this.problem, err.status === 404 ? `${err.message}.` : `The workflow could not be read: ${err.message}`);
    }
    this.versions.open(name);
    this.#refresher.ask();
  }

  #draw() {
    const v = this.#view;
    if (!v) return;
    setText(this.version, `v${v.version}${v.active ? " · active" : ""}`);
    this.version.dataset.tone = v.active ? "good" : "warn";
    const d = v.definition;
    setText(this.doc, d?.description ?? "");
    this.doc.hidden = !d?.description;
    this.facts.replaceChildren(h("span", {}, "deployed ", h("b", {}, moment(v.created))), h("span", {}, "from ", h("b", {}, v.file)),
      v.comment ? h("span", {}, v.comment) : "", v.active ? "" : h("button", { type: "button", class: "link", onclick: () => this.#show(0) }, "Show the active version"));
    setText(this.text, v.text ?? "");
    if (v.problem) {
      this.problem.hidden = false;
      setText(this.problem, `This version cannot be read any more: ${v.problem}`);
    }
    if (d && v.layouts) this.graph.update(shapeOf(d), NARROW.matches ? v.layouts.down : v.layouts.right, this.#selected);
    else this.graph.clear(d ? "This graph is too large to draw." : "");
    if (d) this.form.update(d, v.version, v.active);
    this.#details(d);
  }

  #details(d) {
    const n = d?.nodes.find((one) => one.id === this.#selected);
    this.node.hidden = !n;
    if (!n) return;
    const columns = n.schema?.map((c) => `${c.name} ${c.type}`).join(", ");
    this.node.replaceChildren(
      h("div", { class: "details-head" }, h("h3", {}, n.id), h("span", { class: "faded" }, n.type)),
      n.doc ? h("p", {}, n.doc) : "",
      columns ? h("dl", { class: "pairs" }, h("div", { class: "pair long" }, h("dt", {}, "Columns of its rows"), h("dd", {}, columns))) : "");
  }

  #delete() {
    const name = this.#name;
    ask({
      title: `Delete ${name}`, label: "Delete", danger: true,
      text: "Nothing can be started by its name any more. Its runs can still be read, and to deploy or activate a version brings it back. It is refused while runs are under way, or schedules, triggers or other workflows start it.",
      fields: [{ name: "prune", label: "Remove its versions and runs, too; this cannot be undone", type: "checkbox" }],
      cli: ({ prune }) => commandLine("troupe", "workflow", "delete", name, prune && "--prune"),
      act: async ({ prune }) => {
        await del(`/api/workflows/${encodeURIComponent(name)}${prune ? "?prune=true" : ""}`);
        go("/workflows");
        return `${name} is deleted.`;
      },
    });
  }

  /** The runs that began last. */
  async #recent() {
    const name = this.#name;
    if (!name || this.tabs.picked !== "runs") return;
    try {
      const { runs, next } = await get(`/api/runs?${new URLSearchParams({ workflow: name, limit: 12 })}`);
      if (name !== this.#name) return;
      this.runs.replaceChildren(
        runs.length === 0 ? h("p", { class: "empty" }, "It has not run yet. Start it on the first tab, or by a schedule.")
          : h("ul", { class: "recent-runs" }, runs.map((r) => h("li", {}, badge(r.state), runLink(r.id), h("time", { datetime: r.started }, moment(r.started)), h("span", { class: "num" }, took(r)), h("span", { class: "faded" }, r.key ?? "")))),
        next ? h("p", { class: "empty" }, h("a", { href: `/runs?${new URLSearchParams({ workflow: name })}` }, "All of its runs")) : "",
        command(commandLine("troupe", "run", "list", "--workflow", name)));
    } catch (err) {
      if (name === this.#name) this.runs.replaceChildren(h("p", { class: "empty", "data-tone": "bad" }, `The runs could not be read: ${err.message}`));
    }
  }

  #remember() {
    const q = new URLSearchParams();
    if (this.tabs.picked !== "start") q.set("tab", this.tabs.picked);
    if (this.#wanted) q.set("version", this.#wanted);
    setQuery(q);
  }
}
