// The section "Run": which run is shown, its facts, its graph, and the details
// of one node.

import { byId, h, icon, setText, toast } from "./dom.js";
import { clock, duration, int, moment } from "./format.js";
import { Graph } from "./graph.js";
import { NodeDetails } from "./node-details.js";
import { look } from "./states.js";
import * as api from "./api.js";

const NARROW = matchMedia("(max-width: 740px)");

export class Run {
  #view = null;     // the snapshot on display: {run, layouts}
  #selected = null; // id of the node whose details are open
  #details;
  #newest = "";
  #callbacks;
  #graph;

  /** onPick(id) asks for another run, "" for whichever is the newest; onActor(path) for an actor of the tree. */
  constructor({ onPick, onActor }) {
    this.#callbacks = { onPick, onActor };
    this.#graph = new Graph(byId("graph"), (id) => this.#select(id));
    this.#details = new NodeDetails(byId("node-details"), { onClose: (id) => this.#select(id), onActor });
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
    this.#details.update(run, this.#selected);
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
