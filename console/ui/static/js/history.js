// The history of a run: every event, of which only those in view are read from
// the node and are in the document.

import { h, setAttr, setText } from "./dom.js";
import { duration, exact, int, plural } from "./format.js";
import { get } from "./api.js";
import { commandLine, command } from "./cli.js";
import { output } from "./node-details.js";
import { Matches } from "./matches.js";
import { PageCache } from "./page-cache.js";
import { final } from "./states.js";
import { VirtualList } from "./virtual.js";

const PAGE = 200;
const ROW = 28;

/** The types of events, and how they look. */
const TYPES = {
  WorkflowStarted: "active", WorkflowPaused: "warn", WorkflowResumed: "active", WorkflowCancelled: "warn", WorkflowCompleted: "good",
  WorkflowFailed: "bad", WorkflowReopened: "active", CancelRequested: "warn", SignalReceived: "active",
  NodeStarted: "active", NodeWaiting: "warn", NodeExpanded: "idle", NodeCompleted: "good", NodeRetried: "warn", NodeFailed: "bad",
  NodeSkipped: "idle", NodeCancelled: "warn", NodeCompensating: "warn", NodeCompensated: "good", NodeUndoFailed: "bad", NodeUndoRetried: "warn",
};

const instance = (e) => (e.node ?? "") + (e.iteration ?? []).map((i) => `[${i}]`).join("");

/** detail says in one line what an event tells beside its type. */
function detail(e) {
  return [
    e.attempt > 1 ? `attempt ${e.attempt}` : "", e.handle ? `by ${e.handle}` : "", e.signal ? `signal ${e.signal}` : "",
    e.rows ? plural(e.rows, "row") : "", e.items ? plural(e.items.length, "item") : "",
    e.duration_ns ? `took ${duration(e.duration_ns / 1e9)}` : "", e.start?.trigger ? `by ${e.start.trigger}` : "", e.error ?? "",
  ].filter(Boolean).join(" · ");
}

export class History {
  #id = "";
  #total = 0;
  #began = 0; // when the run did
  #nodes = "";
  #live = false;
  #open = null; // the event on display
  #filter = { node: "", type: "" };
  #matches = null; // what the filter lets through, if there is one
  #visible = false;
  #jump = 0; // the event to show once its place is known
  #onChange;
  #pages;

  /** onChange() is called when the filter or the event on display has changed. */
  constructor({ onChange }) {
    this.#onChange = onChange;
    this.#pages = new PageCache({
      size: PAGE, read: (first, limit, signal) => this.#read(first, limit, signal),
      onLoaded: () => this.list.refresh(), onError: (err) => this.#say(`Events could not be read: ${err.message}. They are asked for again.`, "bad"),
    });
    this.list = new VirtualList({
      label: "Events of the run", row: ROW, make: () => this.#make(), update: (el, i) => this.#fill(el, i),
      onRange: (first, last) => this.#range(first, last), onOpen: (i) => this.#show(this.#event(i)),
    });
    this.seq = h("input", { type: "number", min: "1", step: "1", "aria-label": "Number of an event", placeholder: "1" });
    this.node = h("select", { "aria-label": "Node" }, h("option", { value: "" }, "all nodes"));
    this.type = h("select", { "aria-label": "Type" }, h("option", { value: "" }, "all types"), Object.keys(TYPES).map((t) => h("option", { value: t }, t)));
    this.note = h("span", { class: "count", role: "status" });
    this.form = h("form", { class: "bar" },
      h("label", {}, "Go to event ", this.seq), h("button", { type: "submit" }, "Go"), h("button", { type: "button", onclick: () => this.goTo(this.#total) }, "Newest"),
      h("span", { class: "spacer" }), this.node, this.type, this.note);
    this.form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.goTo(Number(this.seq.value) || 1);
    });
    for (const [name, select] of [["node", this.node], ["type", this.type]]) select.addEventListener("change", () => this.#narrow({ ...this.#filter, [name]: select.value }));
    this.detail = h("div", { class: "event-detail", role: "region", "aria-label": "Event", hidden: true });
    this.cli = h("div", { class: "page-cli" });
    this.element = h("div", { class: "history" }, this.form, this.list.element, this.detail, this.cli);
    this.list.element.classList.add("history-list");
  }

  /** open shows the history of a run, as the query of an address says. */
  open(id, query) {
    this.close();
    this.#id = id;
    this.#jump = Number(query.get("event")) || 0;
    if (this.#visible) this.#begin();
    this.#narrow({ node: query.get("of") ?? "", type: query.get("type") ?? "" }, false);
  }

  close() {
    this.#pages.clear();
    this.#matches?.stop();
    this.#matches = null;
    this.#id = "";
    this.#total = 0;
    this.#began = 0;
    this.#open = null;
    this.detail.hidden = true;
    this.list.setCount(0);
  }

  /** visible says whether the history is on display; only then it is read. */
  visible(on) {
    this.#visible = on;
    if (!on) return;
    if (this.#id && !this.#total) this.#begin();
    this.list.refresh();
  }

  /** begin reads the first page: it tells how many there are, before the run itself is known. */
  async #begin() {
    const id = this.#id;
    try {
      const { events, total } = await get(`/api/runs/${encodeURIComponent(id)}/history?after=0&limit=${PAGE}`);
      if (id !== this.#id) return;
      this.#pages.put(0, events);
      this.#began ||= Date.parse(events[0]?.at);
      this.#grow(total);
    } catch {
      // the page of the run says what is wrong
    }
  }

  /** update hears of the run: its history may have grown. */
  update(run) {
    this.#live = !final(run.state);
    this.#began ||= Date.parse(run.started);
    const nodes = run.nodes.map((n) => n.id).join("\n");
    if (nodes !== this.#nodes) {
      this.#nodes = nodes;
      this.node.replaceChildren(h("option", { value: "" }, "all nodes"), ...run.nodes.map((n) => h("option", { value: n.id }, n.id)));
      this.node.value = this.#filter.node;
    }
    this.#grow(run.events);
  }

  /** only shows the events of one node. */
  only(node) {
    this.#narrow({ node, type: "" });
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** goTo shows the event of a number, without a filter. */
  goTo(seq) {
    if (this.#filter.node || this.#filter.type) this.#narrow({ node: "", type: "" });
    const index = Math.max(0, Math.min(seq, this.#total) - 1);
    this.list.active = index;
    this.list.show(index);
    this.#jump = index + 1; // shown when it has been read
    this.list.refresh();
    this.list.element.focus({ preventScroll: true });
  }

  /** query is what an address says of the history. */
  query() {
    const q = [];
    if (this.#filter.node) q.push(["of", this.#filter.node]);
    if (this.#filter.type) q.push(["type", this.#filter.type]);
    if (this.#open) q.push(["event", String(this.#open.seq)]);
    return q;
  }

  #grow(total) {
    if (total <= this.#total) return;
    const first = this.#total === 0;
    this.#total = total;
    if (this.#matches) {
      this.#matches.grown();
      return;
    }
    this.#pages.grown(total);
    this.list.setCount(total, this.#live && !first);
    this.#say(plural(total, "event").replace(int(total), exact(total)));
    if (first && this.#jump) this.goTo(this.#jump);
  }

  #narrow(filter, told = true) {
    this.#filter = filter;
    this.node.value = filter.node;
    this.type.value = filter.type;
    this.#matches?.stop();
    this.#matches = null;
    this.list.active = -1;
    if (filter.node || filter.type) {
      this.list.setCount(0);
      this.#matches = new Matches({
        path: (after) => `/api/runs/${encodeURIComponent(this.#id)}/history?${new URLSearchParams({ after, limit: PAGE, ...(filter.node && { node: filter.node }), ...(filter.type && { type: filter.type }) })}`,
        onChange: (m) => this.#matched(m),
      });
      this.#matches.more();
    } else if (this.#total) {
      this.list.setCount(this.#total);
      this.#say(plural(this.#total, "event").replace(int(this.#total), exact(this.#total)));
    }
    this.cli.replaceChildren(command(commandLine("troupe", "run", "history", this.#id)));
    this.list.refresh();
    if (told) this.#onChange();
  }

  #matched(m) {
    if (m !== this.#matches) return;
    this.list.setCount(m.events.length + (m.ended ? 0 : 1));
    this.list.refresh();
    if (m.error) this.#say(`Events could not be read: ${m.error.message}`, "bad");
    else if (m.full) this.#say(`the first ${exact(m.events.length)} that match; narrow the filter to see others`);
    else if (m.ended) this.#say(`${exact(m.events.length)} of ${exact(this.#total)} match`);
    else this.#say(`${exact(m.events.length)} match among the first ${exact(m.after)}`);
  }

  #say(text, tone = null) {
    setText(this.note, text);
    setAttr(this.note, "data-tone", tone);
  }

  async #read(first, limit, signal) {
    const page = await get(`/api/runs/${encodeURIComponent(this.#id)}/history?after=${first}&limit=${limit}`, signal);
    this.#grow(page.total);
    return page.events;
  }

  #event(index) {
    return this.#matches ? this.#matches.events[index] : this.#pages.item(index);
  }

  #range(first, last) {
    if (!this.#visible || !this.#id) return;
    if (this.#matches) {
      if (last >= this.#matches.events.length) this.#matches.more();
    } else {
      this.#pages.want(first, last);
    }
  }

  #make() {
    return h("div", { class: "event-row" }, ["seq", "at", "type", "of", "why"].map((c) => h("span", { role: "cell", class: `e-${c}` })));
  }

  #fill(el, index) {
    const e = this.#event(index);
    const [seq, at, type, of, why] = el.children;
    setText(seq, e ? exact(e.seq) : this.#matches ? "" : exact(index + 1));
    setText(at, e ? `+${duration(Math.max(0, (Date.parse(e.at) - (this.#began || Date.parse(e.at))) / 1000))}` : "");
    setAttr(at, "title", e?.at);
    setText(type, e ? e.type : "…");
    setAttr(type, "data-tone", e ? TYPES[e.type] ?? "idle" : null);
    setText(of, e ? instance(e) : "");
    const text = e ? detail(e) : "";
    setText(why, text);
    setAttr(why, "title", text.length > 60 ? text : null);
    if (e && e.seq === this.#jump) {
      this.#jump = 0;
      queueMicrotask(() => this.#show(e));
    }
  }

  #show(e) {
    if (!e) return;
    this.#open = e;
    this.detail.hidden = false;
    const when = new Date(e.at);
    this.detail.replaceChildren(
      h("div", { class: "details-head" }, h("h3", {}, `Event ${exact(e.seq)}: ${e.type}`), h("time", { class: "faded num", datetime: e.at }, when.toISOString()),
        h("span", { class: "spacer" }),
        h("button", { type: "button", class: "quiet", onclick: () => this.#step(-1) }, "Previous"), h("button", { type: "button", class: "quiet", onclick: () => this.#step(1) }, "Next"),
        h("button", { type: "button", class: "quiet", onclick: () => this.#hide() }, "Close")),
      output("", Object.fromEntries(Object.entries(e).filter(([k]) => k !== "workflow" && k !== "run_id"))));
    this.#onChange();
  }

  #step(by) {
    const index = Math.max(0, Math.min(this.list.active + by, this.list.count - 1));
    this.list.active = index;
    this.list.show(index, true);
    const e = this.#event(index);
    if (e) this.#show(e);
    else this.#jump = index + 1;
  }

  #hide() {
    this.#open = null;
    this.detail.hidden = true;
    this.list.element.focus({ preventScroll: true });
    this.#onChange();
  }
}
