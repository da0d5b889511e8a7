// A chart of a table: panels over one x axis, drawn as SVG at the width that
// the page has. Pointing at it, or the arrow keys, read the values of a row.

import { h, s, setText } from "./dom.js";
import { formatters } from "./table.js";
import { labelStep, plan, ticks } from "./chart-plan.js";

const LEFT = 40;
const RIGHT = 6;
const FIRST_PANEL = 132;
const NEXT_PANEL = 74;
const PANEL_GAP = 26;
const AXIS = 22;
const LABEL_PX = 62;

export class Chart {
  #table = null;
  #plan = null;
  #columns = "";
  #at = null;
  #onRow;

  /** controls and element are the containers; onRow(index or null) tells which row is pointed at. */
  constructor(controls, element, onRow) {
    this.controls = controls;
    this.element = element;
    this.#onRow = onRow;
    this.readout = h("div", { class: "readout", "aria-live": "polite" });
    this.holder = h("div", {});
    element.append(this.holder, this.readout);
    new ResizeObserver(() => this.#draw()).observe(element);
  }

  /** update charts a table; the user's choices stay as long as the columns do. */
  update(table) {
    this.#table = table;
    const columns = JSON.stringify(table.columns);
    if (columns !== this.#columns) {
      this.#columns = columns;
      this.#plan = plan(table.columns);
    }
    this.#at = null;
    this.#drawControls();
    this.#draw();
  }

  #drawControls() {
    const p = this.#plan;
    const { columns } = this.#table;
    const usable = p.panels.length > 0;
    this.controls.hidden = this.element.hidden = !usable;
    if (!usable) return;
    const axis = h("select", { onchange: (e) => { p.x = Number(e.target.value); this.#draw(); } },
      p.xs.map((i) => h("option", { value: i, selected: i === p.x }, columns[i].name)),
      h("option", { value: -1, selected: p.x === -1 }, "row number"));
    const chips = p.panels.map((panel) => {
      const mark = panel.series[0].mark;
      const chip = h("button", {
        type: "button", class: "chip", "aria-pressed": String(panel.shown),
        style: { "--series": `var(--series-${panel.colour})` },
        onclick: () => {
          panel.shown = !panel.shown;
          chip.setAttribute("aria-pressed", String(panel.shown));
          this.#draw();
        },
      }, h("span", { class: `swatch ${mark}` }), panel.title);
      return chip;
    });
    this.controls.replaceChildren(h("label", { class: "axis" }, "x", axis), ...chips);
  }

  #draw() {
    const width = this.holder.clientWidth;
    if (!this.#table || width === 0 || this.element.hidden) return;
    const { columns, rows } = this.#table;
    const shown = this.#plan.panels.filter((p) => p.shown);
    this.format = formatters(columns, rows);
    let y = PANEL_GAP - 8;
    const body = [];
    this.marks = [];
    const x = (i) => LEFT + ((i + 0.5) * (width - LEFT - RIGHT)) / rows.length;
    shown.forEach((panel, n) => {
      const height = n === 0 ? FIRST_PANEL : NEXT_PANEL;
      body.push(this.#panel(panel, y, height, x, width));
      y += height + PANEL_GAP;
    });
    const bottom = y - PANEL_GAP;
    const labels = this.#axis(bottom + 15, x, width);
    this.cursor = s("line", { class: "cursor", y1: 4, y2: bottom, visibility: "hidden" });
    this.dots = s("g", {});
    const svg = s("svg", {
      width, height: bottom + AXIS, viewBox: `0 0 ${width} ${bottom + AXIS}`, tabindex: "0", role: "group",
      "aria-label": `Chart of ${shown.map((p) => p.title).join(" and ") || "nothing"} over ${rows.length} rows; arrow keys read the values`,
      onpointermove: (e) => this.#point(e, svg, width), onpointerdown: (e) => this.#point(e, svg, width),
      onpointerleave: () => this.#show(null), onblur: () => this.#show(null),
      onkeydown: (e) => this.#key(e),
    }, body, labels, this.cursor, this.dots);
    this.x = x;
    this.holder.replaceChildren(svg);
    this.#show(this.#at);
  }

  #panel(panel, top, height, x, width) {
    const { rows } = this.#table;
    const values = panel.series.flatMap((m) => m.columns.flatMap((c) => rows.map((r) => r[c]).filter((v) => typeof v === "number")));
    const bars = panel.series.some((m) => m.mark === "bars");
    const lo = Math.min(...values, bars ? 0 : Infinity);
    const hi = Math.max(...values, bars ? 0 : -Infinity);
    const marks = values.length ? ticks(lo, hi, height > 100 ? 5 : 3) : [0, 1];
    const [first, last] = [marks[0], marks.at(-1)];
    const y = (v) => top + height - ((v - first) / (last - first)) * height;
    const lines = marks.map((v) => s("g", {},
      s("line", { class: v === 0 ? "zero-line" : "grid", x1: LEFT, x2: width - RIGHT, y1: Math.round(y(v)) + 0.5, y2: Math.round(y(v)) + 0.5 }),
      s("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, String(v))));
    const drawn = panel.series.map((m) => this.#mark(m, panel, x, y, width));
    for (const m of panel.series) this.marks.push({ ...m, colour: panel.colour, title: panel.title, y });
    const style = { "--series": `var(--series-${panel.colour})`, "--soft": `var(--series-${panel.colour}-soft)` };
    return s("g", { style, "data-panel": panel.title }, lines, drawn, s("text", { class: "panel-title", x: LEFT, y: top - 7 }, panel.title));
  }

  #mark(m, panel, x, y, width) {
    const { rows } = this.#table;
    const runs = unbroken(rows, m.columns);
    if (m.mark === "band") {
      const d = runs.map((run) => {
        const [low, high] = m.columns;
        const forth = run.map((i) => `${x(i).toFixed(1)},${y(rows[i][high]).toFixed(1)}`);
        const back = run.toReversed().map((i) => `${x(i).toFixed(1)},${y(rows[i][low]).toFixed(1)}`);
        return `M${forth.join("L")}L${back.join("L")}Z`;
      }).join("");
      return s("path", { class: "band", d });
    }
    const [c] = m.columns;
    if (m.mark === "line") {
      return s("path", { class: "line", d: runs.map((run) => "M" + run.map((i) => `${x(i).toFixed(1)},${y(rows[i][c]).toFixed(1)}`).join("L")).join("") });
    }
    const step = (width - LEFT - RIGHT) / rows.length;
    const w = Math.max(1, Math.min(24, step * 0.72));
    const d = runs.flat().map((i) => {
      const a = y(0);
      const b = y(rows[i][c]);
      return `M${(x(i) - w / 2).toFixed(1)},${Math.min(a, b).toFixed(1)}h${w.toFixed(1)}v${Math.abs(a - b).toFixed(1)}h${(-w).toFixed(1)}z`;
    }).join("");
    return s("path", { class: "bars", d });
  }

  #axis(y, x, width) {
    const { rows } = this.#table;
    const step = labelStep(rows.length, width - LEFT - RIGHT, LABEL_PX);
    const labels = [];
    for (let i = 0; i < rows.length; i += step) {
      const anchor = i === 0 ? "start" : x(i) > width - LABEL_PX / 2 ? "end" : "middle";
      labels.push(s("text", { x: i === 0 ? LEFT : x(i), y, "text-anchor": anchor }, clip(this.#label(i))));
    }
    return labels;
  }

  #label(i) {
    const v = this.#plan.x < 0 ? i + 1 : this.#table.rows[i][this.#plan.x];
    return v === null ? "null" : String(v);
  }

  #point(e, svg, width) {
    const at = e.clientX - svg.getBoundingClientRect().left;
    const n = this.#table.rows.length;
    this.#show(Math.max(0, Math.min(n - 1, Math.floor(((at - LEFT) / (width - LEFT - RIGHT)) * n))));
  }

  #key(e) {
    const last = this.#table.rows.length - 1;
    const moves = {
      ArrowRight: () => (this.#at === null ? 0 : Math.min(last, this.#at + 1)),
      ArrowLeft: () => (this.#at === null ? last : Math.max(0, this.#at - 1)),
      Home: () => 0,
      End: () => last,
      Escape: () => null,
    };
    if (!moves[e.key]) return;
    e.preventDefault();
    this.#show(moves[e.key]());
  }

  #show(i) {
    this.#at = i;
    this.#onRow(i);
    this.cursor.setAttribute("visibility", i === null ? "hidden" : "visible");
    if (i === null) {
      this.dots.replaceChildren();
      this.readout.replaceChildren(h("span", {}, "Point at the chart to read its values."));
      return;
    }
    const row = this.#table.rows[i];
    const px = Math.round(this.x(i)) + 0.5;
    this.cursor.setAttribute("x1", px);
    this.cursor.setAttribute("x2", px);
    const text = (c) => (row[c] === null ? "null" : this.format[c](row[c]));
    this.dots.replaceChildren(...this.marks.flatMap((m) => (m.mark === "bars" ? [] : m.columns
      .filter((c) => typeof row[c] === "number")
      .map((c) => s("circle", { class: "cursor-dot", cx: px, cy: m.y(row[c]), r: 3, style: { "--series": `var(--series-${m.colour})` } })))));
    this.readout.replaceChildren(h("b", {}, this.#label(i)), ...this.marks.map((m) => {
      const label = h("span", {});
      setText(label, m.mark === "band" ? `${m.title} ${m.label}` : m.label);
      return h("span", { class: "key" }, label, h("b", {}, m.columns.map(text).join(" – ")));
    }));
  }
}

const clip = (text) => (text.length > 10 ? text.slice(0, 10) : text);

/** unbroken splits the rows into stretches in which all columns have numbers. */
function unbroken(rows, columns) {
  const runs = [];
  let run = [];
  rows.forEach((row, i) => {
    if (columns.every((c) => typeof row[c] === "number")) {
      run.push(i);
    } else if (run.length) {
      runs.push(run);
      run = [];
    }
  });
  if (run.length) runs.push(run);
  return runs;
}
