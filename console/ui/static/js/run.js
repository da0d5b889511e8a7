// The section "Run": which run is shown, its facts, its graph, and the details
// of one node with the rows that were set aside.

import { byId, h, icon, setText, toast } from "./dom.js";
import { clock, duration, int, moment, plural } from "./format.js";
import { Graph, look } from "./graph.js";
import * as api from "./api.js";

const REJECTS_SHOWN = 200;
const NARROW = matchMedia("(max-width: 740px)");

export class Run {
  #view = null;     // the snapshot on display: {run, layouts}
  #selected = null; // id of the node whose details are open
  #rejects = { key: "", rows: [] };
  #newest = "";
  #callbacks;
  #graph;

  /** onPick(id) asks for another run, "" for whichever is the newest; onActor(path) for an actor of the tree. */
  constructor({ onPick, onActor }) {
    this.#callbacks = { onPick, onActor };
    this.#graph = new Graph(byId("graph"), (id) => this.#select(id));
    byId("run-again").addEventListener("click", () => this.#again());
    byId("run-picker").addEventListener("change", (e) => this.#pick(e.target.value));
    NARROW.addEventListener("change", () => this.#render());
  }

  /** list shows which runs there are. */
  list({ runs, can_start: canStart }) {
    this.#newest = runs[0]?.id ?? "";
    byId("run-again").disabled = !canStart;
    const picker = byId("run-picker");
    picker.hidden = runs.length < 2;
    const label = (r) => `${moment(r.started)} · ${r.state}`;
    const wanted = runs.map((r) => r.id + label(r)).join();
    if (picker.dataset.runs !== wanted && document.activeElement !== picker) {
      picker.dataset.runs = wanted;
      picker.replaceChildren(...runs.map((r) => h("option", { value: r.id }, label(r))));
    }
    if (this.#view) picker.value = this.#view.run.id;
  }

  /** update shows a snapshot of one run. */
  update(view) {
    if (this.#view?.run.id !== view.run.id) this.#selected = null;
    this.#view = view;
    byId("run-picker").value = view.run.id;
    this.#render();
  }

  /** Who looks at the newest run wants to see the next one, too. */
  #pick(id) {
    this.#callbacks.onPick(id === this.#newest ? "" : id);
  }

  #render() {
    if (!this.#view) return;
    const { run, layouts } = this.#view;
    const [glyph, tone] = look(run.state);
    setText(byId("run-title"), run.workflow);
    const badge = byId("run-state");
    badge.hidden = false;
    if (badge.dataset.state !== run.state) {
      badge.dataset.state = run.state;
      badge.dataset.tone = tone;
      badge.replaceChildren(icon(glyph), h("span", {}, run.state));
    }
    this.#facts(run);
    if (layouts) this.#graph.update(run, NARROW.matches ? layouts.down : layouts.right, this.#selected);
    else this.#graph.clear("This graph is too large to draw.");
    this.#details(run);
  }

  #facts(run) {
    const rowsIn = run.nodes.filter((n) => n.role === "source").reduce((sum, n) => sum + n.rows_in, 0);
    const rowsOut = run.nodes.filter((n) => n.role === "sink").reduce((sum, n) => sum + n.rows_out, 0);
    const took = (run.finished ? new Date(run.finished) : Date.now()) - new Date(run.started);
    const facts = [
      ["started ", clock(run.started)],
      [run.finished ? "took " : "for ", duration(Math.max(0, took) / 1000)],
      ["", int(rowsIn), " rows read"],
      ["", int(rowsOut), " written"],
    ];
    const key = JSON.stringify([facts, run.rejected_total, run.error]);
    const el = byId("run-facts");
    if (el.dataset.shown === key) return;
    el.dataset.shown = key;
    el.replaceChildren(
      ...facts.map(([before, value, after = ""]) => h("span", {}, before, h("b", {}, value), after)),
      run.rejected_total > 0
        ? h("button", { type: "button", class: "link", "data-tone": "warn", title: "Show the rows set aside", onclick: () => this.#showRejects() }, `▲ ${int(run.rejected_total)} set aside`)
        : h("span", {}, h("b", {}, "0"), " set aside"),
      ...(run.error ? [h("span", { class: "wide" }, run.error)] : []));
  }

  /** Opens the node that set aside the most rows. */
  #showRejects() {
    const most = this.#view.run.nodes.reduce((a, b) => (b.rejected > a.rejected ? b : a));
    this.#selected = most.id;
    this.#render();
    byId("node-details").scrollIntoView({ block: "nearest" });
  }

  #select(id) {
    this.#selected = this.#selected === id ? null : id;
    this.#render();
  }

  #details(run) {
    const el = byId("node-details");
    const node = run.nodes.find((n) => n.id === this.#selected);
    el.hidden = !node;
    if (!node) {
      el.dataset.shown = "";
      return;
    }
    const rejects = this.#rejectsOf(run, node);
    const key = JSON.stringify([run.id, node, rejects.length]);
    if (el.dataset.shown === key) return;
    el.dataset.shown = key;
    const pair = (term, value, cls = "pair") => h("div", { class: cls }, h("dt", {}, term), h("dd", { class: "num" }, value));
    const [glyph, tone] = look(node.state);
    el.replaceChildren(
      h("div", { class: "details-head" }, h("h3", {}, node.id), h("span", { class: "badge", "data-tone": tone }, icon(glyph), h("span", {}, node.state)),
        h("button", { type: "button", class: "quiet square", "aria-label": "Close", onclick: () => this.#select(node.id) }, icon("close"))),
      h("dl", { class: "pairs" },
        pair("Type", node.type),
        pair("Rows in", int(node.rows_in)),
        pair("Rows out", int(node.rows_out)),
        pair("Filtered", int(node.filtered)),
        node.held > 0 ? pair("Held", int(node.held)) : null,
        pair("Set aside", int(node.rejected)),
        pair("Batches", int(node.batches)),
        pair("Time", duration(node.duration_ns / 1e9)),
        node.actor_path ? pair("Actor", h("button", { type: "button", class: "link", onclick: () => this.#callbacks.onActor(node.actor_path) }, node.actor_path)) : null,
        node.artifact ? pair("Output", [node.artifact.path, node.artifact.table].filter(Boolean).join(", table "), "pair long") : null,
        node.error ? pair("Error", node.error, "pair long") : null),
      ...(node.rejected > 0 ? [this.#rejectTable(node, rejects)] : []));
  }

  /** Rows set aside are not part of the stream; they are fetched when somebody looks. */
  #rejectsOf(run, node) {
    const key = `${run.id} ${run.rejected_total}`;
    if (node.rejected > 0 && this.#rejects.key !== key) {
      this.#rejects = { key, rows: [] };
      api.get(`/api/runs/${encodeURIComponent(run.id)}`).then((full) => {
        if (this.#rejects.key !== key) return;
        this.#rejects.rows = full.run.rejects ?? [];
        this.#render();
      }, (err) => toast(`The rows set aside could not be read: ${err.message}`));
    }
    return this.#rejects.rows.filter((r) => r.node === node.id);
  }

  #rejectTable(node, rejects) {
    const shown = rejects.slice(0, REJECTS_SHOWN);
    const where = (r) => [r.file?.split("/").pop(), r.line].filter(Boolean).join(":") || "–";
    return h("div", {},
      h("h3", {}, `${plural(node.rejected, "row")} set aside${shown.length < node.rejected ? `, the first ${int(shown.length)} of them` : ""}`),
      h("div", { class: "rejects-scroll", tabindex: "0", role: "region", "aria-label": "Rows set aside" },
        h("table", { class: "rejects" },
          h("thead", {}, h("tr", {}, ["Line", "Column", "Reason", "Row"].map((t) => h("th", { scope: "col" }, t)))),
          h("tbody", {}, shown.map((r) => h("tr", {},
            h("td", { class: "where", title: r.file || null }, where(r)), h("td", {}, r.column || "–"), h("td", { class: "reason" }, r.reason), h("td", { class: "raw" }, r.raw)))))));
  }

  async #again() {
    const button = byId("run-again");
    button.disabled = true;
    try {
      const { id } = await api.post("/api/runs");
      this.#newest = id;
      this.#pick(id);
    } catch (err) {
      toast(`No new run: ${err.message}`);
    } finally {
      button.disabled = false;
    }
  }
}
