// The section "Result": the table that a run wrote, and a chart of it.

import { byId, setText } from "./dom.js";
import { plural } from "./format.js";
import { drawPager, drawTable } from "./table.js";
import { Chart } from "./chart.js";
import * as api from "./api.js";

const PAGE = 200;

export class Result {
  #run = null;
  #state = "";
  #asked = 0;

  constructor() {
    this.chart = new Chart(byId("chart-controls"), byId("chart"), (i) => this.#mark(i));
  }

  /** update follows a run; its result is read once it has completed. */
  update(run) {
    if (run.id === this.#run && run.state === this.#state) return;
    const other = run.id !== this.#run;
    this.#run = run.id;
    this.#state = run.state;
    if (run.state === "completed") this.#load(0);
    else if (run.state === "failed" || run.state === "cancelled") this.#empty(`This run ${run.state === "failed" ? "failed" : "was cancelled"} and left no result.`);
    else if (byId("result-body").hidden) this.#empty("The table appears here when the run completes.");
    else if (other) setText(byId("result-count"), `${byId("result-count").textContent}, from the run before`);
  }

  async #load(offset) {
    const asked = ++this.#asked;
    const path = `/api/runs/${encodeURIComponent(this.#run)}/result`;
    try {
      const table = await api.get(`${path}?limit=${PAGE}&offset=${offset}`);
      if (asked === this.#asked) this.#show(table, path);
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
    drawTable(byId("result-table"), table);
    drawPager(byId("pager"), table, (offset) => this.#load(offset));
    this.chart.update(table);
  }

  #empty(text) {
    this.#asked++;
    byId("result-body").hidden = true;
    byId("result-json").hidden = true;
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
