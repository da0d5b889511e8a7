// What the nodes of a run had to say. New lines come by themselves; who scrolls
// up to read is left alone.

import { h, setAttr, setText } from "./dom.js";
import { clock, exact, plural } from "./format.js";
import { get } from "./api.js";
import { command, commandLine } from "./cli.js";
import { Refresher } from "./live.js";
import { final } from "./states.js";
import { VirtualList } from "./virtual.js";

const PAGE = 1000;
const ROW = 22;

/** Lines that are kept in the page; of more, the newest. */
const KEPT = 50_000;

const LEVELS = ["INFO", "WARN", "ERROR"];

const TONES = { INFO: "active", WARN: "warn", ERROR: "bad" };

/** rank is the place of a level such as INFO or WARN+2. */
const rank = (level) => Math.max(0, LEVELS.findIndex((l) => level.startsWith(l)));

/** attributes writes what stands beside a message. */
const attributes = (attrs) => Object.entries(attrs ?? {}).map(([k, v]) => `${k}=${typeof v === "string" ? v : JSON.stringify(v)}`).join(" ");

export class Logs {
  #id = "";
  #after = 0;
  #lines = [];
  #shown = [];
  #dropped = 0;
  #node = "";
  #follow = true;
  #visible = false;
  #events = -1;
  #ended = false;
  #onChange;
  #refresher = new Refresher(() => this.#read(), 500);

  /** onChange() is called when the filter has changed. */
  constructor({ onChange }) {
    this.#onChange = onChange;
    this.level = h("select", {}, LEVELS.map((l) => h("option", { value: l }, l)));
    this.level.addEventListener("change", () => {
      this.#sift();
      this.#onChange();
    });
    this.node = h("select", { "aria-label": "Node" }, h("option", { value: "" }, "all nodes"));
    this.node.addEventListener("change", () => this.only(this.node.value));
    this.toggle = h("button", { type: "button", "aria-pressed": "true", class: "chip", onclick: () => this.#setFollow(!this.#follow) }, "Follow");
    this.note = h("span", { class: "count", role: "status" });
    this.empty = h("p", { class: "empty" });
    this.list = new VirtualList({ label: "Log lines", row: ROW, make: () => this.#make(), update: (el, i) => this.#fill(el, i) });
    this.list.element.classList.add("log-list");
    this.list.element.addEventListener("wheel", (e) => { if (e.deltaY < 0) this.#setFollow(false); }, { passive: true });
    this.list.element.addEventListener("keydown", (e) => { if (["ArrowUp", "PageUp", "Home"].includes(e.key)) this.#setFollow(false); });
    this.list.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.cli = h("div", { class: "page-cli" });
    this.element = h("div", { class: "logs" },
      h("div", { class: "bar" }, h("label", {}, "From level ", this.level), this.node, this.toggle, h("span", { class: "spacer" }), this.note),
      this.empty, this.list.element, this.cli);
  }

  /** open shows the log of a run, as the query of an address says. */
  open(id, query) {
    this.close();
    this.#id = id;
    this.level.value = LEVELS.includes(query.get("level")) ? query.get("level") : "INFO";
    this.#node = query.get("log") ?? "";
    this.#command();
  }

  close() {
    this.#refresher.stop();
    this.#id = "";
    this.#after = 0;
    this.#lines = [];
    this.#shown = [];
    this.#dropped = 0;
    this.#events = -1;
    this.#setFollow(true);
    this.list.setCount(0);
  }

  visible(on) {
    this.#visible = on;
    if (!on) return;
    this.#refresher.ask();
    this.list.refresh();
  }

  /** update hears of the run: there may be more lines. */
  update(run) {
    const nodes = run.nodes.map((n) => n.id);
    if (this.node.dataset.of !== nodes.join()) {
      this.node.dataset.of = nodes.join();
      this.node.replaceChildren(h("option", { value: "" }, "all nodes"), ...nodes.map((id) => h("option", { value: id }, id)));
      this.node.value = this.#node;
    }
    this.#ended = final(run.state);
    if (this.#visible && (!this.#ended || run.events !== this.#events)) this.#refresher.ask();
    this.#events = run.events;
  }

  /** only shows the lines of one node. */
  only(node) {
    this.#node = node;
    this.node.value = node;
    this.#sift();
    this.#onChange();
  }

  query() {
    return [...(this.level.value === "INFO" ? [] : [["level", this.level.value]]), ...(this.#node ? [["log", this.#node]] : [])];
  }

  #setFollow(on) {
    this.#follow = on;
    setAttr(this.toggle, "aria-pressed", String(on));
    if (on && this.#shown.length > 0) this.list.show(this.#shown.length - 1);
  }

  /** Who comes back to the end follows again. */
  #scrolled() {
    if (!this.#follow && this.list.atEnd) {
      this.#follow = true;
      setAttr(this.toggle, "aria-pressed", "true");
    }
  }

  async #read() {
    const id = this.#id;
    if (!id) return;
    try {
      const page = await get(`/api/runs/${encodeURIComponent(id)}/logs?after=${this.#after}&limit=${PAGE}`);
      if (id !== this.#id) return;
      this.#take(page.lines);
      if (page.next) {
        this.#after = page.next;
        this.#refresher.ask();
      } else if (page.lines.length > 0) {
        this.#after = page.lines.at(-1).seq;
      }
      this.#say();
    } catch (err) {
      if (id === this.#id) this.#say(err);
    }
  }

  #take(lines) {
    this.#lines.push(...lines);
    const over = this.#lines.length - KEPT;
    if (over > 0) {
      this.#lines.splice(0, over);
      this.#dropped += over;
    }
    if (lines.length > 0) this.#sift(over > 0 ? null : lines);
  }

  /** sift shows what the filter lets through; of added lines only those are looked at. */
  #sift(added = null) {
    const least = rank(this.level.value);
    const passes = (l) => rank(l.level) >= least && (!this.#node || l.node === this.#node || l.node?.startsWith(this.#node + "["));
    this.#shown = added ? this.#shown.concat(added.filter(passes)) : this.#lines.filter(passes);
    this.list.setCount(this.#shown.length);
    if (this.#follow && this.#shown.length > 0) this.list.show(this.#shown.length - 1);
    this.#command();
    this.#say();
  }

  #say(err = null) {
    const none = this.#shown.length === 0;
    this.empty.hidden = !none && !err;
    this.list.element.hidden = none;
    setAttr(this.empty, "data-tone", err ? "bad" : null);
    setText(this.empty, err ? `The log could not be read: ${err.message}`
      : this.#lines.length > 0 ? "No line is like that. Lower the level, or choose all nodes."
        : this.#ended ? "The nodes of this run had nothing to say. A shell task writes its output here, a Go task what it logs."
          : "Nothing has been said yet. Lines appear here by themselves.");
    setText(this.note, this.#lines.length === 0 ? "" : `${this.#shown.length === this.#lines.length ? plural(this.#lines.length, "line") : `${exact(this.#shown.length)} of ${plural(this.#lines.length, "line")}`}${this.#dropped > 0 ? `; ${exact(this.#dropped)} older ones are on the command line` : ""}`);
  }

  #command() {
    const line = commandLine("troupe", "run", "logs", this.#id, "--follow", this.level.value !== "INFO" && ["--level", this.level.value], this.#node && ["--step", this.#node]);
    if (this.cli.dataset.line === line) return;
    this.cli.dataset.line = line;
    this.cli.replaceChildren(command(line));
  }

  #make() {
    return h("div", { class: "log-row" }, ["at", "level", "of", "text"].map((c) => h("span", { role: "cell", class: `l-${c}` })));
  }

  #fill(el, index) {
    const l = this.#shown[index];
    if (!l) return;
    const [at, level, of, text] = el.children;
    setText(at, clock(l.time));
    setAttr(at, "title", l.time);
    setText(level, l.level);
    setAttr(level, "data-tone", TONES[LEVELS[rank(l.level)]]);
    setText(of, l.node ?? "");
    const line = [l.message, attributes(l.attrs)].filter(Boolean).join("  ");
    setText(text, line);
    setAttr(text, "title", line);
  }
}
