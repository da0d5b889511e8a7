// The supervision tree: one row per actor, nested by indentation, navigable by
// keyboard as a treegrid. Rows are kept and updated in place.

import { byId, h, icon, reconcile, setAttr, setIcon, setText, toast } from "./dom.js";
import { int, moment, plural, rate } from "./format.js";
import { ActorDetails, isService } from "./actor-details.js";

/** How a state looks: an icon, a tone, and a word unless the state is the usual one. */
const STATES = {
  running: ["dot", "good", ""],
  restarting: ["loop", "warn", "restarting"],
  stopping: ["square", "warn", "stopping"],
  stopped: ["square", "idle", "stopped"],
  isolated: ["warn", "bad", "isolated"],
};

const OPEN_CHILDREN = 12; // a supervisor with more children starts closed
const MORE_STEP = 4;      // "more" shows four times as many

export class Tree {
  #root = null;
  #types = {};
  #folded = new Map(); // path → true (closed) or false (open), as chosen
  #selected = null;
  #focused = null;
  #restarts = new Map(); // path → restarts last seen
  #details;
  #visibility; // rows out of sight are brought up to date when they come into it
  #limits = new Map(); // path → children asked for
  #onLimits;

  /** onLimits is called with path → number of children when the user wants more rows. */
  constructor({ onLimits, command }) {
    this.#onLimits = onLimits;
    this.#details = new ActorDetails(command);
    this.body = byId("tree-rows");
    this.#visibility = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "300px" });
    this.body.addEventListener("click", (e) => this.#click(e));
    this.body.addEventListener("keydown", (e) => this.#key(e));
    this.body.addEventListener("focusin", (e) => {
      const row = e.target.closest("tr.actor");
      if (row) this.#rove(row.dataset.key);
    });
    this.body.addEventListener("animationend", (e) => e.target.closest("tr")?.classList.remove("restarted"));
  }

  /** update shows a snapshot of /api/tree. */
  update({ root, types }) {
    this.#root = root;
    this.#types = types;
    setText(byId("tree-count"), plural(root.total.actors, "actor"));
    this.#render();
  }

  /** select opens an actor's details and brings its row into view. */
  select(path) {
    if (!this.#root) return;
    const parts = path.split("/").filter(Boolean);
    for (let i = 1; i < parts.length; i++) this.#folded.set("/" + parts.slice(0, i).join("/"), false);
    this.#selected = path;
    this.#render();
    const row = this.#row(path);
    if (!row) {
      this.#selected = null;
      toast(`${path} is not in the tree: it has ended, or is among those not shown.`);
      return;
    }
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  }

  #closed(actor) {
    if (!actor.children?.length) return true;
    const chosen = this.#folded.get(actor.path);
    if (chosen !== undefined) return chosen;
    return actor.children.length > OPEN_CHILDREN;
  }

  #render() {
    const rows = [];
    const walk = (parent, depth) => {
      const children = parent.children ?? [];
      children.forEach((actor, i) => {
        const closed = this.#closed(actor);
        rows.push({ key: actor.path, actor, depth, closed, position: i + 1, size: children.length });
        if (actor.path === this.#selected) rows.push({ key: actor.path + "\u0000details", details: actor });
        if (!closed) walk(actor, depth + 1);
      });
      if (parent.more) rows.push({ key: parent.path + "\u0000more", more: parent, depth });
    };
    walk(this.#root, 0);
    if (!rows.some((r) => r.key === this.#focused)) this.#focused = rows[0]?.key ?? null;
    reconcile(this.body, rows, (r) => r.key,
      (r) => (r.more ? this.#makeMore() : r.details ? this.#makeDetails() : this.#makeRow()),
      (el, r) => (r.more ? this.#updateMore(el, r) : r.details ? this.#details.update(r.details, this.#types) : this.#refresh(el, r)));
  }

  #refresh(row, r) {
    row.latest = r;
    if (row.visible) this.#updateRow(row, r);
  }

  #seen(entries) {
    for (const { target: row, isIntersecting } of entries) {
      row.visible = isIntersecting;
      if (isIntersecting) this.#updateRow(row, row.latest);
    }
  }

  #makeRow() {
    const ui = {
      twist: h("button", { type: "button", class: "twist", tabindex: "-1", "aria-hidden": "true" }, icon("right")),
      state: icon("dot", "icon state"),
      text: h("span", { class: "text" }),
      type: h("span", { class: "type" }),
      kids: h("span", { class: "kids" }),
      flag: h("span", { class: "flag" }),
      fill: h("span", { class: "fill" }),
      waiting: h("span", { class: "value" }),
      rate: h("td", { class: "c-rate number", role: "gridcell" }),
      processed: h("td", { class: "c-processed number", role: "gridcell" }),
      restarts: h("td", { class: "c-restarts number", role: "gridcell" }),
      when: h("span", { class: "when" }),
      why: h("span", { class: "why" }),
    };
    ui.service = h("span", { class: "no-mailbox" });
    ui.gauge = h("div", { class: "gauge" }, ui.service, h("span", { class: "bar", "aria-hidden": "true" }, ui.fill), ui.waiting);
    ui.name = h("div", { class: "actor-name" }, ui.twist, ui.state, ui.text, ui.flag, ui.kids, ui.type);
    ui.error = h("td", { class: "c-error", role: "gridcell" }, ui.when, ui.why);
    const row = h("tr", { class: "actor", role: "row", tabindex: "-1" },
      h("td", { class: "c-name", role: "rowheader" }, ui.name),
      h("td", { class: "c-mailbox", role: "gridcell" }, ui.gauge),
      ui.rate, ui.processed, ui.restarts, ui.error);
    row.ui = ui;
    row.visible = true;
    this.#visibility.observe(row);
    return row;
  }

  #updateRow(row, { actor, depth, closed, position, size, key }) {
    const { ui } = row;
    const parent = actor.children?.length > 0;
    const [glyph, tone, word] = STATES[actor.state] ?? ["ring", "idle", actor.state];
    if (row.depth !== depth) {
      row.depth = depth;
      row.style.setProperty("--depth", depth);
    }
    setAttr(row, "aria-level", depth + 1);
    setAttr(row, "aria-posinset", position);
    setAttr(row, "aria-setsize", size);
    setAttr(row, "aria-expanded", parent ? String(!closed) : null);
    setAttr(row, "aria-selected", String(actor.path === this.#selected));
    setAttr(row, "tabindex", key === this.#focused ? 0 : -1);
    ui.twist.style.visibility = parent ? "visible" : "hidden";
    setIcon(ui.state, glyph);
    setAttr(ui.state, "data-tone", tone);
    setText(ui.text, actor.name);
    setAttr(ui.name, "title", `${actor.path} – ${actor.type}, ${actor.state}`);
    setText(ui.type, actor.type);
    setText(ui.flag, word);
    setAttr(ui.flag, "data-tone", tone);
    setText(ui.kids, parent && closed ? `+ ${int(actor.total.actors - 1)}` : "");
    this.#gauge(ui, actor);
    const perSecond = rate(actor.rate);
    setText(ui.rate, perSecond);
    ui.rate.classList.toggle("zero", perSecond === "0");
    setText(ui.processed, int(actor.processed));
    ui.processed.classList.toggle("zero", actor.processed === 0);
    setText(ui.restarts, int(actor.restarts));
    ui.restarts.classList.toggle("zero", actor.restarts === 0);
    ui.restarts.classList.toggle("some", actor.restarts > 0);
    const failed = Boolean(actor.last_error);
    ui.error.classList.toggle("none", !failed);
    setText(ui.when, failed ? moment(actor.last_error_at) : "");
    setText(ui.why, failed ? actor.last_error : "");
    setAttr(ui.error, "title", failed ? actor.last_error : null);
    const seen = this.#restarts.get(actor.path);
    if (seen !== undefined && actor.restarts > seen) row.classList.add("restarted");
    this.#restarts.set(actor.path, actor.restarts);
  }

  #gauge(ui, actor) {
    const service = isService(actor);
    ui.gauge.classList.toggle("service", service);
    setText(ui.service, service ? "service" : "");
    const share = actor.capacity > 0 ? actor.mailbox / actor.capacity : 0;
    const of = actor.capacity > 0 ? int(actor.capacity) : "no limit";
    setText(ui.waiting, int(actor.mailbox));
    ui.waiting.classList.toggle("zero", actor.mailbox === 0);
    // A few waiting messages must be visible in a mailbox of thousands: the
    // bar is the square root of the share.
    ui.fill.style.transform = `scaleX(${Math.sqrt(share).toFixed(3)})`;
    setAttr(ui.gauge, "data-tone", share >= 0.9 ? "bad" : share >= 0.5 || actor.mailbox > 1000 ? "warn" : null);
    setAttr(ui.gauge, "title", service ? "A service runs and takes no messages" : `${plural(actor.mailbox, "message")} waiting, capacity ${of}`);
  }

  #makeMore() {
    const cell = h("td", { colspan: "6", role: "gridcell" });
    const row = h("tr", { class: "more", role: "row" }, cell);
    row.text = h("span", {});
    row.button = h("button", { type: "button", class: "link" }, "show more");
    cell.append(h("div", { class: "actor-name" }, row.text, row.button));
    return row;
  }

  #updateMore(row, { more: parent, depth }) {
    row.style.setProperty("--depth", depth + 1);
    const m = parent.more;
    const bits = [`… ${plural(m.actors, "more actor", "more actors")}`, `${int(m.mailbox)} waiting`, `${rate(m.rate)} msg/s`];
    if (m.restarts > 0) bits.push(plural(m.restarts, "restart"));
    setText(row.text, bits.join(" · "));
    row.button.hidden = !m.can_show;
    row.button.onclick = () => {
      const shown = parent.children?.length ?? 0;
      this.#limits.set(parent.path, Math.max(shown, 10) * MORE_STEP);
      this.#onLimits(this.#limits);
    };
  }

  #makeDetails() {
    const row = h("tr", { class: "actor-details", role: "row" }, h("td", { colspan: "6", role: "gridcell" }, this.#details.element));
    this.#details.reset();
    return row;
  }

  #click(e) {
    const row = e.target.closest("tr.actor");
    if (!row) return;
    if (e.target.closest(".twist")) this.#fold(row);
    else this.#toggle(row.dataset.key);
  }

  #toggle(path) {
    this.#selected = this.#selected === path ? null : path;
    this.#render();
  }

  #fold(row, closed = row.getAttribute("aria-expanded") === "true") {
    this.#folded.set(row.dataset.key, closed);
    this.#render();
  }

  #key(e) {
    if (e.key === "Escape" && this.#selected) {
      const path = this.#selected;
      this.#toggle(path);
      this.#row(path)?.focus();
      return;
    }
    const row = e.target.closest("tr.actor");
    if (!row || e.target !== row || e.ctrlKey || e.metaKey || e.altKey) return;
    const rows = [...this.body.querySelectorAll("tr.actor")];
    const at = rows.indexOf(row);
    const expanded = row.getAttribute("aria-expanded");
    const level = Number(row.getAttribute("aria-level"));
    const go = (target) => target?.focus();
    switch (e.key) {
      case "ArrowDown": go(rows[at + 1]); break;
      case "ArrowUp": go(rows[at - 1]); break;
      case "Home": go(rows[0]); break;
      case "End": go(rows.at(-1)); break;
      case "ArrowRight":
        if (expanded === "false") this.#fold(row, false);
        else if (expanded === "true") go(rows[at + 1]);
        break;
      case "ArrowLeft":
        if (expanded === "true") this.#fold(row, true);
        else go(rows.slice(0, at).findLast((r) => Number(r.getAttribute("aria-level")) < level));
        break;
      case "Enter": case " ": this.#toggle(row.dataset.key); break;
      default: return;
    }
    e.preventDefault();
  }

  /** One row is in the tab order: the one that had the focus last. */
  #rove(key) {
    if (key === this.#focused) return;
    const before = this.#row(this.#focused);
    if (before) before.tabIndex = -1;
    this.#focused = key;
    this.#row(key).tabIndex = 0;
  }

  #row(key) {
    return key && this.body.querySelector(`tr.actor[data-key="${CSS.escape(key)}"]`);
  }
}
