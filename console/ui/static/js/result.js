// The section "Result": the table that a run wrote, and a chart of it.

import { byId, h, setText } from "./dom.js";
import { plural } from "./format.js";
import { drawPager, drawTable } from "./table.js";
import { Chart } from "./chart.js";
import * as api from "./api.js";

const PAGE = 200;

export class Result {
  #run = null;
  #state = "";
  #asked = 0;
  #sink = ""; // the sink that was picked; "" for the first

  constructor() {
    byId("result-sink").addEventListener("change", (e) => {
      this.#sink = e.target.value;
      this.#load(0);
    });
    this.chart = new Chart(byId("chart-controls"), byId("chart"), (i) => this.#mark(i));
  }

  /** update follows a run; its result is read once it has completed. */
  update(run) {
    if (run.id === this.#run && run.state === this.#state) return;
    const other = run.id !== this.#run;
    this.#run = run.id;
    this.#state = run.state;
    if (!run.nodes.some((n) => n.id === this.#sink)) this.#sink = "";
    if (run.state === "completed") this.#load(0);
    else if (run.state === "failed" || run.state === "cancelled") this.#empty(`This run ${run.state === "failed" ? "failed" : "was cancelled"} and left no result.`);
    else if (byId("result-body").hidden) this.#empty("The table appears here when the run completes.");
    else if (other) setText(byId("result-count"), `${byId("result-count").textContent}, from the run before`);
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
    byId("result-empty").hidden = true;
    byId("result-body").hidden = false;
    const link = byId("result-json");
    link.hidden = false;
    link.href = path;
    setText(byId("result-title"), table.name || "Result");
    setText(byId("result-count"), plural(table.total, "row"));
    this.#choice(table);
    drawTable(byId("result-table"), table);
    drawPager(byId("pager"), table, (offset) => this.#load(offset));
    this.chart.update(table);
  }

  /** choice offers the sinks of a run that has several. */
  #choice({ sink, sinks }) {
    const select = byId("result-sink");
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
    byId("result-body").hidden = true;
    byId("result-json").hidden = true;
    byId("result-sink").hidden = true;
    byId("result-empty").hidden = false;
    setText(byId("result-title"), "Result");
    setText(byId("result-count"), "");
    setText(byId("result-empty"), text);
  }

  #mark(i) {
    byId("result-table").querySelector("tr.at")?.classList.remove("at");
    if (i !== null) byId("result-table").querySelector(`tr[data-row="${i}"]`)?.classList.add("at");
  }
}
