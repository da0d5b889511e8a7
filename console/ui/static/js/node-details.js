// What is known of one node of a run, and the rows that it set aside.

import { h, icon, toast } from "./dom.js";
import { duration, int, moment, plural } from "./format.js";
import { get } from "./api.js";
import { badge } from "./states.js";

const REJECTS_SHOWN = 200;

/** Characters of an output that are shown at first. */
const OUTPUT_SHOWN = 4000;

const pair = (term, value, cls = "pair") => h("div", { class: cls }, h("dt", {}, term), h("dd", { class: "num" }, value));

/** The figures of a node that moves rows. */
const rowPairs = (n) => [
  pair("Rows in", int(n.rows_in)), pair("Rows out", int(n.rows_out)), pair("Filtered", int(n.filtered)),
  n.held > 0 ? pair("Held", int(n.held)) : null,
  pair("Set aside", int(n.rejected)), pair("Batches", int(n.batches)),
];

const movesRows = (n) => n.role === "source" || n.role === "transform" || n.role === "sink";

export class NodeDetails {
  #callbacks;
  #rejects = { key: "", rows: [] };
  #last = null; // arguments of the last update

  /**
   * element holds the details. onClose(id) is called by the button that closes
   * them, onActor(path) for an actor of the tree; more(run, node), if given,
   * returns elements to stand below.
   */
  constructor(element, callbacks) {
    this.element = element;
    this.#callbacks = callbacks;
  }

  /** update shows a node of a run, or none. */
  update(run, id) {
    this.#last = [run, id];
    const el = this.element;
    const node = run.nodes.find((n) => n.id === id);
    el.hidden = !node;
    if (!node) {
      el.dataset.shown = "";
      return;
    }
    const rejects = this.#rejectsOf(run, node);
    const waits = (run.waits ?? []).filter((w) => w.node === id);
    const key = JSON.stringify([run.id, run.state, node, waits, rejects.length]);
    if (el.dataset.shown === key) return;
    el.dataset.shown = key;
    el.replaceChildren(
      h("div", { class: "details-head" }, h("h3", {}, node.id), badge(node.state),
        h("button", { type: "button", class: "quiet square", "aria-label": "Close", onclick: () => this.#callbacks.onClose(node.id) }, icon("close"))),
      this.#pairs(node, waits),
      ...(node.output !== undefined ? [output("Output", node.output)] : []),
      ...(node.rejected > 0 ? [rejectTable(node, rejects)] : []),
      ...(this.#callbacks.more?.(run, node) ?? []));
  }

  #pairs(node, waits) {
    const c = node.counts;
    return h("dl", { class: "pairs" },
      pair("Type", node.type),
      movesRows(node) ? rowPairs(node) : null,
      c ? pair("Iterations", [[c.active, "active"], [c.completed, "completed"], [c.failed, "failed"], [c.skipped, "skipped"], [c.cancelled, "cancelled"]]
        .filter(([n]) => n > 0).map(([n, what]) => `${int(n)} ${what}`).join(", ") || "none yet") : null,
      node.attempt > 0 ? pair("Attempt", int(node.attempt)) : null,
      node.handle ? pair("Went on by", node.handle) : null,
      node.started ? pair("Started", moment(node.started)) : null,
      node.duration_ns > 0 ? pair("Time", duration(node.duration_ns / 1e9)) : null,
      node.actor_path ? pair("Actor", h("button", { type: "button", class: "link", onclick: () => this.#callbacks.onActor(node.actor_path) }, node.actor_path)) : null,
      node.artifact ? pair("Output", [node.artifact.path, node.artifact.table].filter(Boolean).join(", table "), "pair long") : null,
      waits.slice(0, 20).map((w) => pair("Waits for", waitText(w), "pair long")),
      node.error ? pair("Error", node.error, "pair long bad") : null);
  }

  /** Rows set aside are not part of the stream; they are fetched when somebody looks. */
  #rejectsOf(run, node) {
    const key = `${run.id} ${run.rejected_total}`;
    if (node.rejected > 0 && this.#rejects.key !== key) {
      this.#rejects = { key, rows: [] };
      get(`/api/runs/${encodeURIComponent(run.id)}`).then((full) => {
        if (this.#rejects.key !== key) return;
        this.#rejects.rows = full.run.rejects ?? [];
        this.update(...this.#last);
      }, (err) => toast(`The rows set aside could not be read: ${err.message}`));
    }
    return this.#rejects.rows.filter((r) => r.node === node.id);
  }
}

/** waitText says what a run waits for. */
export function waitText(w) {
  const what = { signal: `the signal ${w.signal}`, approval: w.title ? `an approval: ${w.title}` : "an approval", time: "a time", attempt: "its next attempt" }[w.for] ?? w.for;
  const index = (w.iteration ?? []).map((i) => `[${i}]`).join("");
  return [index && `${w.node}${index}:`, what, w.until ? `until ${moment(w.until)}` : "", w.error ? `after: ${w.error}` : ""].filter(Boolean).join(" ");
}

/** output shows JSON, cut if it is long. */
export function output(title, value) {
  const text = JSON.stringify(value, null, 2) ?? "";
  const code = h("pre", { class: "json", tabindex: "0" }, text.slice(0, OUTPUT_SHOWN));
  const all = text.length > OUTPUT_SHOWN
    ? h("button", { type: "button", class: "link", onclick: () => { code.textContent = text; all.remove(); } }, `Show all ${int(text.length)} characters`) : null;
  return h("div", {}, h("h3", {}, title), code, all);
}

function rejectTable(node, rejects) {
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
