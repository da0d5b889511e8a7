// The section "Result": the table that a run wrote, and a chart of it.

import { byId, h, setText } from "./dom.js";
import { plural } from "./format.js";
import { drawPager, drawTable } from "./table.js";
import { Chart } from "./chart.js";
import * as api from "./api.js";

const PAGE = 200;

/** resultCard makes another section "Result". It must be called before the first one is filled. */
export function resultCard() {
  const card = byId("result").cloneNode(true);
  for (const el of [card, ...card.querySelectorAll("[id]")]) el.removeAttribute("id");
  for (const el of [card, ...card.querySelectorAll("[aria-labelledby]")]) {
    el.removeAttribute("aria-labelledby");
    el.setAttribute("aria-label", "Result");
  }
  return card;
}

export class Result {
  #run = null;
  #state = "";
  #asked = 0;
  #sink = ""; // the sink that was picked; "" for the first

  /**
   * element is the section "Result" of index.html, or a copy that resultCard has
   * made of it.
   */
  constructor(element) {
    this.element = element;
    this.#part("sink").addEventListener("change", (e) => {
      this.#sink = e.target.value;
      this.#load(0);
    });
    this.chart = new Chart(this.#part("controls"), this.#part("chart"), (i) => this.#mark(i));
  }

  #part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }

  /** update follows a run; its result is read once it has completed. */
  update(run) {
    if (run.id === this.#run && run.state === this.#state) return;
    const other = run.id !== this.#run;
    this.#run = run.id;
    this.#state = run.state;
    if (!run.nodes.some((n) => n.id === this.#sink)) this.#sink = "";
    if (run.state === "completed" && !run.nodes.some((n) => n.artifact)) this.#empty("This run wrote no table.");
    else if (run.state === "completed") this.#load(0);
    else if (run.state === "failed" || run.state === "cancelled") this.#empty(`This run ${run.state === "failed" ? "failed" : "was cancelled"} and left no result.`);
    else if (this.#part("body").hidden) this.#empty("The table appears here when the run completes.");
    else if (other) setText(this.#part("count"), `${this.#part("count").textContent}, from the run before`);
  }

  async #load(offset) {
    const asked = ++this.#asked;
    const path = `/api/runs/${encodeURIComponent(this.#run)}/result`;
    const sink = this.#sink ? `sink=${encodeURIComponent(this.#sink)}` : "";
    try {
      const table = await api.get(`${path}?limit=${PAGE}&offset=${offset}${sink && "&" + sink}`);
      if (asked === this.#asked) this.#show(table, path + (sink && "?" + sink));
    } catch (err) {
      if (asked === this.#asked) this.#empty(`The result could not be read: ${err.message}`);
    }
  }

  #show(table, path) {
    this.#part("empty").hidden = true;
    this.#part("body").hidden = false;
    const link = this.#part("json");
    link.hidden = false;
    link.href = path;
    setText(this.#part("title"), table.name || "Result");
    setText(this.#part("count"), plural(table.total, "row"));
    this.#choice(table);
    drawTable(this.#part("table"), table);
    drawPager(this.#part("pager"), table, (offset) => this.#load(offset));
    this.chart.update(table);
  }

  /** choice offers the sinks of a run that has several. */
  #choice({ sink, sinks }) {
    const select = this.#part("sink");
    select.hidden = sinks.length < 2;
    const offered = JSON.stringify(sinks);
    if (select.dataset.sinks !== offered) {
      select.dataset.sinks = offered;
      select.replaceChildren(...sinks.map((id) => h("option", { value: id }, id)));
    }
    select.value = sink;
  }

  #empty(text) {
    this.#asked++;
    this.#part("body").hidden = true;
    this.#part("json").hidden = true;
    this.#part("sink").hidden = true;
    this.#part("empty").hidden = false;
    setText(this.#part("title"), "Result");
    setText(this.#part("count"), "");
    setText(this.#part("empty"), text);
  }

  #mark(i) {
    this.#part("table").querySelector("tr.at")?.classList.remove("at");
    if (i !== null) this.#part("table").querySelector(`tr[data-row="${i}"]`)?.classList.add("at");
  }
}
