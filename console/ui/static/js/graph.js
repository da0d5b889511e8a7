// The graph of a run as SVG. Where nodes stand and edges run is computed by
// the node; here they are drawn.

import { h, s, setAttr, setText } from "./dom.js";
import { duration, exact, int, plural, short } from "./format.js";
import { look } from "./states.js";

/** A graph that is wider than its card shrinks as far as this, then scrolls. */
const SCALE_MIN = 0.8;

/** The longest name of a handle on an edge; the node keeps as much room. */
const HANDLE_CHARS = 10;

/** The longest line of figures that fits into a box. */
const ROWS_CHARS = 16;

const clip = (text, chars) => (text.length > chars ? text.slice(0, chars - 1) + "…" : text);

/** figures says what a node has done: with rows, in how many iterations, by which try. */
function figures(n) {
  if (n.state === "pending" || n.state === "skipped") return "";
  if (n.role !== "task" && n.role !== "control") return rowsText(n);
  const c = n.counts;
  if (c) return `${short(c.completed)} done${c.active > 0 ? ` · ${short(c.active)} on` : ""}${c.failed > 0 ? ` · ${short(c.failed)} bad` : ""}`;
  if (n.attempt > 1) return `attempt ${int(n.attempt)}`;
  return n.handle ? `→ ${clip(n.handle, ROWS_CHARS - 2)}` : "";
}

/** rowsText says what a node did with rows: read, took in and passed on, or wrote. */
function rowsText(n) {
  if (n.role === "source") return plural(n.rows_out, "row");
  if (n.role === "sink") return plural(n.rows_out, "row");
  if (n.rows_in === n.rows_out) return plural(n.rows_in, "row");
  const text = `${int(n.rows_in)} → ${int(n.rows_out)}`;
  return text.length <= ROWS_CHARS ? text : `${short(n.rows_in)} → ${short(n.rows_out)}`;
}

export class Graph {
  #shape = "";
  #nodes = new Map();
  #edges = [];
  #onSelect;

  constructor(element, onSelect) {
    this.element = element;
    this.#onSelect = onSelect;
  }

  /** update draws a run with one of its layouts; it draws anew only if the layout differs. */
  update(run, layout, selected) {
    const shape = JSON.stringify(layout);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#draw(run, layout);
    }
    for (const n of run.nodes) this.#updateNode(n, selected);
    run.edges.forEach((e, i) => this.#updateEdge(e, i, run));
    (run.after ?? []).forEach((e, i) => this.#updateControl(e, run.edges.length + i, run));
  }

  /** clear shows text instead of a graph. */
  clear(text) {
    this.#shape = "";
    this.element.replaceChildren(h("p", { class: "empty" }, text));
  }

  #draw(run, layout) {
    this.#nodes.clear();
    this.#edges = [];
    const pad = 3;
    const right = layout.direction === "right";
    const edges = layout.routes.map((route) => {
      const path = s("path", { class: "edge", d: curve(route.points, right) });
      const tip = s("path", { class: "tip", d: arrow(route.points.at(-1), right) });
      const figure = s("tspan", {});
      const title = s("title", {});
      const label = s("text", { class: "edge-label", ...labelAt(route.points, right) }, title, figure);
      this.#edges.push({ path, tip, label, figure, title });
      return s("g", {}, path, tip);
    });
    const blocks = new Set(layout.boxes.map((b) => b.parent).filter(Boolean));
    const outside = (box) => (box.parent ? 1 + outside(layout.boxes.find((b) => b.id === box.parent)) : 0);
    const nodes = layout.boxes.map((box) => [outside(box), this.#makeNode(box, blocks.has(box.id))]);
    const within = (block) => nodes.filter(([, g]) => g.classList.contains("block") === block).sort(([a], [b]) => a - b).map(([, g]) => g);
    const svg = s("svg", {
      width: layout.width + 2 * pad,
      style: { "min-width": `${Math.round(layout.width * SCALE_MIN)}px` },
      viewBox: `${-pad} ${-pad} ${layout.width + 2 * pad} ${layout.height + 2 * pad}`,
      role: "group", "aria-label": `Graph of ${run.workflow}: ${plural(run.nodes.length, "node")}`,
    }, within(true), edges, within(false), this.#edges.map((e) => e.label));
    this.element.replaceChildren(svg);
  }

  /** A block is a node that has others within it: its texts stand in its head. */
  #makeNode(box, block) {
    const w = box.width;
    const ui = {
      name: s("text", { class: "name", x: 28, y: 22 }),
      type: s("text", { class: "type", x: 12, y: 39 }),
      rows: s("text", { class: block ? "rows head" : "rows", x: block ? w - 12 : 12, y: block ? 22 : box.height - 10 }),
      took: s("text", { class: "took", x: w - 10, y: 39 }),
      badge: s("rect", { class: "badge", y: box.height - 9, height: 18, rx: 9 }),
      rejected: s("text", { class: "rejected", x: w - 16, y: box.height + 4 }),
      use: s("use", {}),
      title: s("title", {}),
    };
    ui.state = s("g", { class: "state" }, s("svg", { class: "icon", x: 10, y: 11, width: 13, height: 13 }, ui.use));
    const g = s("g", {
      class: block ? "node block" : "node", transform: `translate(${box.x} ${box.y})`, tabindex: "0", role: "button", "data-node": box.id,
      onclick: () => this.#onSelect(box.id),
      onkeydown: (e) => {
        if (e.key !== "Enter" && e.key !== " ") return;
        e.preventDefault();
        this.#onSelect(box.id);
      },
    }, ui.title,
    s("rect", { class: "ring", x: -3, y: -3, width: w + 6, height: box.height + 6, rx: 11 }),
    s("rect", { class: "box", x: 0.5, y: 0.5, width: w - 1, height: box.height - 1, rx: 8 }),
    ui.state, ui.name, ui.type, ui.rows, ui.took, s("g", {}, ui.badge, ui.rejected));
    this.#nodes.set(box.id, { g, ui, width: block ? Math.min(w, 126) : w, typeWidth: w });
    return g;
  }

  #updateNode(n, selected) {
    const entry = this.#nodes.get(n.id);
    if (!entry) return;
    const { g, ui, width, typeWidth } = entry;
    const [glyph, tone] = look(n.state);
    setAttr(g, "data-tone", tone);
    setAttr(g, "data-state", n.state);
    setAttr(g, "aria-expanded", String(n.id === selected));
    setAttr(ui.use, "href", "#i-" + glyph);
    ui.state.classList.toggle("turning", n.state === "running" || n.state === "stopping");
    const took = n.duration_ns > 0 && n.state !== "running" ? duration(n.duration_ns / 1e9) : "";
    setText(ui.name, clip(n.id, Math.floor((width - 38) / 7.2)));
    setText(ui.type, clip(n.type, Math.floor((typeWidth - 22) / 5.5) - (took ? took.length + 2 : 0)));
    setText(ui.took, took);
    setText(ui.rows, figures(n));
    setAttr(ui.rows, "data-tone", n.attempt > 1 || n.counts?.failed > 0 ? "warn" : null);
    const badge = n.rejected > 0 ? `▲ ${int(n.rejected)}` : "";
    setText(ui.rejected, badge);
    ui.badge.parentNode.setAttribute("visibility", badge ? "visible" : "hidden");
    setAttr(ui.badge, "width", badge.length * 6 + 18);
    setAttr(ui.badge, "x", typeWidth - 8 - (badge.length * 6 + 18));
    const rows = n.role === "task" || n.role === "control" ? figures(n) : `${int(n.rows_in)} rows in, ${int(n.rows_out)} rows out, ${int(n.rejected)} set aside`;
    const spoken = [n.id, n.type, n.state, rows].filter(Boolean).join(", ");
    setText(ui.title, spoken);
    setAttr(g, "aria-label", spoken);
  }

  /** An edge of control: who runs after whom, and by which way. */
  #updateControl(edge, i, run) {
    const ui = this.#edges[i];
    if (!ui) return;
    const from = run.nodes.find((n) => n.id === edge.from);
    const passed = from?.state === "completed" && (edge.handle === (from.handle || "done"));
    setText(ui.figure, edge.handle === "done" ? "" : clip(edge.handle, HANDLE_CHARS));
    setText(ui.title, `${edge.to} runs after ${edge.from}${edge.handle === "done" ? "" : `, by ${edge.handle}`}`);
    ui.path.classList.add("control");
    ui.path.classList.toggle("passed", passed);
    ui.tip.classList.toggle("passed", passed);
  }

  #updateEdge(edge, i, run) {
    const ui = this.#edges[i];
    if (!ui) return;
    const rows = edge.rows > 0 ? short(edge.rows) : "";
    setText(ui.figure, edge.handle === "out" ? rows : `${clip(edge.handle, HANDLE_CHARS)} ${rows}`);
    setText(ui.title, `${edge.from} ${edge.handle} to ${edge.to}: ${exact(edge.rows)} ${edge.rows === 1 ? "row" : "rows"}`);
    const flowing = run.nodes.find((n) => n.id === edge.from)?.state === "running" && edge.rows > 0;
    ui.path.classList.toggle("flowing", flowing);
    ui.tip.classList.toggle("flowing", flowing);
  }
}

/** A shape is what a graph looks like before anything has run. */
export const shapeOf = (definition) => ({
  workflow: definition.name, after: definition.after,
  nodes: definition.nodes.map((n) => ({ ...n, state: "pending", rows_in: 0, rows_out: 0, rejected: 0, duration_ns: 0 })),
  edges: (definition.edges ?? []).map((e) => ({ ...e, rows: 0 })),
});

/**
 * labelAt places the label of an edge in its first gap: above a level line,
 * else in the middle of the curve, whose line it covers.
 */
function labelAt([a, b], right) {
  const x = (a.x + b.x) / 2;
  const y = (a.y + b.y) / 2;
  if (right) return { x: x - 3, y: Math.abs(a.y - b.y) < 10 ? y - 5 : y + 4, "text-anchor": "middle" };
  return Math.abs(a.x - b.x) < 10 ? { x: x + 6, y: y + 1, "text-anchor": "start" } : { x, y: y + 4, "text-anchor": "middle" };
}

/** curve draws a route: an S through each gap between layers, a line through each layer. */
function curve(points, right) {
  let d = `M${points[0].x},${points[0].y}`;
  for (let i = 1; i < points.length; i++) {
    const a = points[i - 1];
    const b = points[i];
    if (i % 2 === 0) d += `L${b.x},${b.y}`;
    else if (right) d += `C${(a.x + b.x) / 2},${a.y} ${(a.x + b.x) / 2},${b.y} ${b.x},${b.y}`;
    else d += `C${a.x},${(a.y + b.y) / 2} ${b.x},${(a.y + b.y) / 2} ${b.x},${b.y}`;
  }
  return d;
}

function arrow(p, right) {
  return right ? `M${p.x},${p.y}l-7,-3.5v7z` : `M${p.x},${p.y}l-3.5,-7h7z`;
}
