// A page with a list of things that have names: read again when the node says that
// something has changed, and a page of the list at a time.

import { h, reconcile, setText } from "./dom.js";
import { int } from "./format.js";
import { get } from "./api.js";
import { command } from "./cli.js";
import { Refresher, listen } from "./live.js";

/** How many are shown at first, and how many more with each press of the button. */
const PAGE = 100;
const MOST = 1000;

export class ListPage {
  #options;
  #stop = [];
  #list = [];
  #limit = PAGE;
  #refresher = new Refresher(() => this.#read(), 1000);

  /**
   * options:
   *   title, path, field   the API's path, and where the list stands in its answer
   *   columns              header cells; a text or an element
   *   key(item)            what tells it from the others
   *   make(), update(el, item)   a row; tick(el) is called each second
   *   empty                elements shown if there is nothing
   *   actions              elements beside the heading
   *   events               of the stream, with which the list is read again
   *   every                how often it is read again without being told, in ms
   *   read()               reads what the rows need beside the list (optional)
   *   cli                  the command that lists them
   */
  constructor(options) {
    this.#options = options;
    this.title = options.title;
    this.note = h("span", { class: "count", role: "status" });
    this.empty = h("div", { class: "empty" });
    this.rows = h("tbody", {});
    this.more = h("button", { type: "button", hidden: true, onclick: () => { this.#limit += PAGE; this.#refresher.ask(); } }, "Show more");
    this.rest = h("p", { class: "quiet-text", hidden: true }, `The first ${int(MOST)} are shown; the command line lists all of them, page by page.`);
    this.table = h("table", { class: `list ${options.title.toLowerCase()}`, "aria-label": options.title, hidden: true },
      h("thead", {}, h("tr", {}, options.columns.map((c) => (typeof c === "string" ? h("th", { scope: "col" }, c) : c)))), this.rows);
    this.element = h("div", { class: "column" }, h("section", { class: "card" },
      h("header", { class: "card-head" }, h("h2", {}, options.title), this.note, h("span", { class: "spacer" }), h("div", { class: "actions" }, options.actions ?? [])),
      h("div", { class: "scroll-edge" }, h("div", { class: "table-scroll" }, this.table)), this.empty,
      h("div", { class: "list-more" }, this.more, this.rest), h("div", { class: "page-cli" }, command(options.cli))));
  }

  show() {
    this.hide();
    const { events, every, tick } = this.#options;
    this.#stop = events.map((event) => listen(event, () => this.#refresher.ask()));
    if (every) this.#stop.push(clearInterval.bind(null, setInterval(() => this.#refresher.ask(), every)));
    if (tick) this.#stop.push(clearInterval.bind(null, setInterval(() => [...this.rows.children].forEach(tick), 1000)));
    this.#refresher.ask();
  }

  hide() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.#refresher.stop();
  }

  /** ask has the list read again. */
  ask() {
    this.#refresher.ask();
  }

  async #read() {
    const { path, field, read, title } = this.#options;
    try {
      const answer = await get(`${path}?limit=${this.#limit}`);
      this.#list = answer[field];
      this.more.hidden = !answer.next || this.#limit >= MOST;
      this.rest.hidden = !answer.next || this.#limit < MOST;
      this.#draw();
      if (read) {
        await read();
        this.#draw();
      }
    } catch (err) {
      this.empty.hidden = false;
      this.empty.replaceChildren(h("p", { "data-tone": "bad", role: "alert" }, `The ${title.toLowerCase()} could not be read: ${err.message}`));
    }
  }

  #draw() {
    const { empty, key, make, update } = this.#options;
    const none = this.#list.length === 0;
    this.empty.hidden = !none;
    this.table.hidden = none;
    setText(this.note, none ? "" : int(this.#list.length) + (this.more.hidden && this.rest.hidden ? "" : " and more"));
    if (none) this.empty.replaceChildren(...empty);
    reconcile(this.rows, this.#list, key, make, update);
  }
}

/** cell is an empty cell of a row. */
export const cell = (cls, ...children) => h("td", { class: cls }, ...children);

/** actionsHead is the header of a column of buttons. */
export const actionsHead = () => h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Actions"));
