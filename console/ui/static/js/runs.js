// The page "Runs": a list that the node filters and pages.

import { h, reconcile, setAttr, setText } from "./dom.js";
import { duration, int, moment, plural } from "./format.js";
import { command, commandLine } from "./cli.js";
import { get } from "./api.js";
import { FilterForm } from "./filter-form.js";
import { Refresher, listen } from "./live.js";
import { go, setQuery } from "./router.js";
import { RUN_STATES, badge, final, setBadge } from "./states.js";

const PAGE = 50;

/** brief is the id of a run, short enough for a table. */
export const brief = (id) => (id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id);

/** runLink leads to the page of a run. */
export const runLink = (id, text = brief(id), attrs = {}) => h("a", { class: "plain mono", href: `/runs/${encodeURIComponent(id)}`, title: id, ...attrs }, text);

/** took is how long a run has taken, so far or in all. */
export const took = (r) => duration(Math.max(0, (r.finished ? new Date(r.finished) : Date.now()) - new Date(r.started)) / 1000);

export class RunsPage {
  title = "Runs";
  #query = new URLSearchParams();
  #runs = [];
  #next = "";
  #newer = []; // addresses of the pages before this one
  #held = null; // a page whose new runs are held back
  #seen = 0;
  #stop = [];
  #asked = 0;
  #refresher = new Refresher(() => this.#read(false));

  constructor() {
    this.form = new FilterForm({
      label: "Filter of the runs",
      fields: [
        { name: "workflow", label: "Workflow", type: "select", choices: [["", "all"]] },
        { name: "state", label: "State", type: "select", choices: [["", "any"], ...RUN_STATES.map((s) => [s, s])] },
        { name: "key", label: "Key" },
        { name: "trigger", label: "Trigger", placeholder: "manual" },
        { name: "since", label: "Started since", type: "datetime-local" },
        { name: "before", label: "Started before", type: "datetime-local" },
      ],
      onChange: (query) => {
        setQuery(query);
        this.#newer = [];
        this.#load(query);
      },
    });
    this.note = h("span", { class: "count", role: "status" });
    this.empty = h("div", { class: "empty" });
    this.rows = h("tbody", {});
    this.fresh = h("button", { type: "button", class: "fresh-runs", hidden: true, onclick: () => this.#showHeld() });
    this.previous = h("button", { type: "button", onclick: () => go(this.#newer.pop() ?? this.#address("")) }, "Newer");
    this.older = h("button", { type: "button", onclick: () => this.#turn() }, "Older");
    this.pager = h("div", { class: "letters-pager" }, this.previous, this.older);
    this.cli = h("div", { class: "page-cli" });
    this.table = h("table", { class: "list runs", "aria-label": "Runs" },
      h("thead", {}, h("tr", {}, ["State", "Run", "Workflow", "Key", "Trigger", "Started"].map((t) => h("th", { scope: "col" }, t)),
        h("th", { scope: "col", class: "number" }, "Took"), h("th", { scope: "col", class: "number" }, "Rows"), h("th", { scope: "col" }, "Why"))),
      this.rows);
    this.element = h("div", { class: "column" }, h("section", { class: "card", "aria-busy": "false" },
      h("header", { class: "card-head" }, h("h2", {}, "Runs"), this.note, h("span", { class: "spacer" }), this.fresh),
      this.form.element, h("div", { class: "table-scroll" }, this.table), this.empty, this.pager, this.cli));
  }

  show(_, query) {
    this.hide();
    this.#stop = [
      listen("runs", ({ changes, runs }) => this.#changed(changes ?? JSON.stringify(runs))),
      clearInterval.bind(null, setInterval(() => this.#tick(), 1000)),
    ];
    get("/api/workflows").then(
      ({ workflows }) => this.form.choices("workflow", [["", "all"], ...workflows.map((w) => [w.workflow, w.workflow])]),
      () => {}, // the list below says what is wrong
    );
    this.form.fill(query);
    this.#load(query);
  }

  hide() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.#refresher.stop();
  }

  #changed(changes) {
    if (this.#seen && this.#seen !== changes) this.#refresher.ask();
    this.#seen = changes;
  }

  #load(query) {
    this.#query = query;
    const cli = [...query].filter(([k]) => k !== "cursor").map(([k, v]) => [`--${k}`, v]);
    this.cli.replaceChildren(command(commandLine("troupe", "run", "list", ...cli)));
    return this.#read(true);
  }

  /** read asks for the page; one that is asked for anew replaces what is shown, else it is brought up to date. */
  async #read(anew) {
    const mine = ++this.#asked;
    const q = new URLSearchParams(this.#query);
    q.set("limit", PAGE);
    let page;
    try {
      page = await get(`/api/runs?${q}`);
    } catch (err) {
      if (mine === this.#asked) this.#failed(err);
      return;
    }
    if (mine !== this.#asked) return; // another answer is newer
    const known = new Set(this.#runs.map((r) => r.id));
    const more = anew ? [] : page.runs.filter((r) => !known.has(r.id));
    if (more.length > 0 && this.#reading()) {
      const now = new Map(page.runs.map((r) => [r.id, r]));
      this.#held = page;
      this.#runs = this.#runs.map((r) => now.get(r.id) ?? r);
      setText(this.fresh, `Show ${plural(more.length, "new run")}`);
      this.fresh.hidden = false;
    } else {
      this.#take(page);
    }
    this.#draw();
  }

  /** Who has scrolled down, or has the focus in the table, is not to lose the place. */
  #reading() {
    return scrollY > 40 || this.rows.contains(document.activeElement) || this.table.matches(":has(tbody tr:hover)");
  }

  #take(page) {
    this.#held = null;
    this.fresh.hidden = true;
    this.#runs = page.runs;
    this.#next = page.next ?? "";
  }

  #showHeld() {
    if (this.#held) this.#take(this.#held);
    this.#draw();
    scrollTo(0, 0);
    this.rows.querySelector("a")?.focus({ preventScroll: true });
  }

  #address(cursor) {
    const q = new URLSearchParams(this.#query);
    q.delete("cursor");
    if (cursor) q.set("cursor", cursor);
    return `/runs${q.size > 0 ? "?" + q : ""}`;
  }

  #turn() {
    this.#newer.push(location.pathname + location.search);
    go(this.#address(this.#next));
  }

  #failed(err) {
    this.empty.hidden = false;
    this.empty.replaceChildren(h("p", { "data-tone": "bad", role: "alert" }, `The runs could not be read: ${err.message}`),
      h("button", { type: "button", onclick: () => this.#read(true) }, "Try again"));
  }

  #draw() {
    const filtered = [...this.#query.keys()].some((k) => k !== "cursor");
    this.empty.hidden = this.#runs.length > 0;
    this.table.hidden = this.#runs.length === 0;
    if (this.#runs.length === 0) this.empty.replaceChildren(...(filtered ? [h("p", {}, "No run is like that. Clear the filter to see all.")] : this.#teach()));
    setText(this.note, this.#runs.length > 0 ? `${int(this.#runs.length)}${this.#next ? " shown, there are more" : ""}` : "");
    reconcile(this.rows, this.#runs, (r) => r.id, (r) => this.#make(r), (el, r) => this.#update(el, r));
    const paged = this.#query.has("cursor");
    this.pager.hidden = !paged && !this.#next;
    this.previous.disabled = !paged;
    this.older.disabled = !this.#next;
  }

  #teach() {
    return [
      h("p", {}, "Nothing has run yet. A workflow is started from its page, by a schedule, or on the command line:"),
      command("troupe workflow start NAME"),
      h("p", {}, h("a", { href: "/workflows" }, "See the workflows")),
    ];
  }

  #make(r) {
    const cell = (cls, ...children) => h("td", { class: cls }, ...children);
    return h("tr", { class: "run" },
      cell("c-state", badge()),
      h("th", { scope: "row", class: "c-run" }, runLink(r.id)),
      cell("c-workflow", h("a", { class: "plain", title: r.workflow, href: `/workflows/${encodeURIComponent(r.workflow)}` }, r.workflow), h("span", { class: "faded" }, ` v${r.version}`)),
      cell("c-key", r.key ?? ""), cell("c-trigger", r.trigger ?? ""),
      cell("c-started num", h("time", { datetime: r.started, title: r.started }, moment(r.started))),
      cell("c-took number"), cell("c-rows number"), cell("c-why"));
  }

  #update(el, r) {
    el.run = r;
    setBadge(el.querySelector(".state-badge"), r.state);
    setText(el.querySelector(".c-took"), took(r));
    setText(el.querySelector(".c-rows"), r.rows ? int(r.rows) : "");
    setText(el.querySelector(".c-why"), r.error ?? "");
    setAttr(el.querySelector(".c-why"), "title", r.error || null);
  }

  /** The times of runs under way go on. */
  #tick() {
    for (const el of this.rows.children) if (!final(el.run.state)) setText(el.querySelector(".c-took"), took(el.run));
  }
}
