// The graph of a run as SVG. Where nodes stand and edges run is computed by
// the node; here they are drawn.

import { h, s, setAttr, setText } from "./dom.js";
import { duration, exact, int, plural, short } from "./format.js";

/** How the state of a node of the graph looks. */
export const RUN_STATES = {
  pending: ["ring", "idle"],
  running: ["arc", "active"],
  stopping: ["arc", "active"],
  completed: ["check", "good"],
  failed: ["cross", "bad"],
  cancelled: ["slash", "idle"],
};

export const look = (state) => RUN_STATES[state] ?? ["ring", "idle"];

/** A graph that is wider than its card shrinks as far as this, then scrolls. */
const SCALE_MIN = 0.8;

/** The longest name of a handle on an edge; the node keeps as much room. */
const HANDLE_CHARS = 10;

/** The longest line of figures that fits into a box. */
const ROWS_CHARS = 16;

const clip = (text, chars) => (text.length > chars ? text.slice(0, chars - 1) + "…" : text);

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
    const nodes = layout.boxes.map((box) => this.#makeNode(box));
    const svg = s("svg", {
      width: layout.width + 2 * pad,
      style: { "min-width": `${Math.round(layout.width * SCALE_MIN)}px` },
      viewBox: `${-pad} ${-pad} ${layout.width + 2 * pad} ${layout.height + 2 * pad}`,
      role: "group", "aria-label": `Graph of ${run.workflow}: ${plural(run.nodes.length, "node")}`,
    }, edges, nodes, this.#edges.map((e) => e.label));
    this.element.replaceChildren(svg);
  }

  #makeNode(box) {
    const w = box.width;
    const ui = {
      name: s("text", { class: "name", x: 28, y: 22 }),
      type: s("text", { class: "type", x: 12, y: 39 }),
      rows: s("text", { class: "rows", x: 12, y: box.height - 10 }),
      took: s("text", { class: "took", x: w - 10, y: 39 }),
      badge: s("rect", { class: "badge", y: box.height - 9, height: 18, rx: 9 }),
      rejected: s("text", { class: "rejected", x: w - 16, y: box.height + 4 }),
      use: s("use", {}),
      title: s("title", {}),
    };
    ui.state = s("g", { class: "state" }, s("svg", { class: "icon", x: 10, y: 11, width: 13, height: 13 }, ui.use));
    const g = s("g", {
      class: "node", transform: `translate(${box.x} ${box.y})`, tabindex: "0", role: "button", "data-node": box.id,
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
    this.#nodes.set(box.id, { g, ui, width: w });
    return g;
  }

  #updateNode(n, selected) {
    const entry = this.#nodes.get(n.id);
    if (!entry) return;
    const { g, ui, width } = entry;
    const [glyph, tone] = look(n.state);
    setAttr(g, "data-tone", tone);
    setAttr(g, "data-state", n.state);
    setAttr(g, "aria-expanded", String(n.id === selected));
    setAttr(ui.use, "href", "#i-" + glyph);
    ui.state.classList.toggle("turning", n.state === "running");
    const took = n.duration_ns > 0 && n.state !== "running" ? duration(n.duration_ns / 1e9) : "";
    setText(ui.name, clip(n.id, Math.floor((width - 38) / 7.2)));
    setText(ui.type, clip(n.type, Math.floor((width - 22) / 5.5) - took.length));
    setText(ui.took, took);
    setText(ui.rows, n.state === "pending" ? "" : rowsText(n));
    const badge = n.rejected > 0 ? `▲ ${int(n.rejected)}` : "";
    setText(ui.rejected, badge);
    ui.badge.parentNode.setAttribute("visibility", badge ? "visible" : "hidden");
    setAttr(ui.badge, "width", badge.length * 6 + 18);
    setAttr(ui.badge, "x", width - 8 - (badge.length * 6 + 18));
    const spoken = `${n.id}, ${n.type}, ${n.state}, ${int(n.rows_in)} rows in, ${int(n.rows_out)} rows out, ${int(n.rejected)} set aside`;
    setText(ui.title, spoken);
    setAttr(g, "aria-label", spoken);
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
