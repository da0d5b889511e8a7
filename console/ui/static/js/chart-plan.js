// How to draw a table of which nothing is known but its columns: the first
// column of text or dates is the x axis; numbers whose names say that they are
// the least, the greatest and the mean of one thing share a panel as a band
// and a line; every other column of numbers gets a panel of its own, as bars
// if it counts or sums, else as a line. The user can change what is shown.

import { numeric } from "./table.js";

const LOW = new Set(["min", "minimum", "low", "lower", "p05", "p10"]);
const HIGH = new Set(["max", "maximum", "high", "upper", "p90", "p95"]);
const MID = new Set(["mean", "avg", "average", "median", "p50"]);
const SUM = new Set(["sum", "total", "count", "n", "days", "rows", "amount", "precipitation", "rain", "rainfall"]);

const PANELS_SHOWN = 2;
const COLOURS = 4;

const words = (name) => name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase().split(/[^a-z0-9]+/).filter(Boolean);

function roleOf(tokens) {
  for (const [role, set] of [["low", LOW], ["high", HIGH], ["mid", MID]]) {
    if (tokens.some((t) => set.has(t))) return role;
  }
  return null;
}

/** A series: one mark in one panel. columns has two indices for a band, else one. */
const series = (mark, label, ...columns) => ({ mark, label, columns });

/**
 * plan returns {x, xs, panels}: the index of the x column (-1: row numbers),
 * the columns that could be it, and the panels {title, colour, series, shown}.
 */
export function plan(columns) {
  const xs = columns.flatMap((c, i) => (numeric(c) ? [] : [i]));
  const groups = new Map(); // stem → {low, high, mid}
  const single = [];
  columns.forEach((c, i) => {
    if (!numeric(c)) return;
    const tokens = words(c.name);
    const role = roleOf(tokens);
    const stem = tokens.filter((t) => !LOW.has(t) && !HIGH.has(t) && !MID.has(t)).join(" ");
    const group = groups.get(stem) ?? {};
    if (role && stem && group[role] === undefined) {
      group[role] = i;
      groups.set(stem, group);
    } else {
      single.push(i);
    }
  });
  const panels = [];
  for (const [stem, g] of groups) {
    if (g.low !== undefined && g.high !== undefined) {
      const marks = [series("band", "min–max", g.low, g.high)];
      if (g.mid !== undefined) marks.push(series("line", columns[g.mid].name, g.mid));
      panels.push({ title: stem, series: marks });
    } else {
      single.push(...Object.values(g));
    }
  }
  const sums = (i) => words(columns[i].name).some((w) => SUM.has(w)) || columns[i].type === "int";
  // Sums of measurements say more than mere counts, so floats go first.
  single.sort((a, b) => (columns[a].type === "int") - (columns[b].type === "int") || a - b);
  for (const i of single) {
    panels.push({ title: columns[i].name, series: [series(sums(i) ? "bars" : "line", columns[i].name, i)] });
  }
  panels.forEach((p, i) => {
    p.colour = (i % COLOURS) + 1;
    p.shown = i < PANELS_SHOWN;
  });
  return { x: xs[0] ?? -1, xs, panels };
}

/** ticks returns round numbers that cover the range from lo to hi, in at most n steps. */
export function ticks(lo, hi, n) {
  if (lo === hi) {
    lo -= 1;
    hi += 1;
  }
  const power = 10 ** Math.floor(Math.log10((hi - lo) / n));
  let first = 0;
  let last = 0;
  let step = 0;
  for (const factor of [1, 2, 2.5, 5, 10, 20]) {
    step = factor * power;
    first = Math.floor(lo / step + 1e-9);
    last = Math.ceil(hi / step - 1e-9);
    if (last - first <= n) break;
  }
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** labelStep is every how many labels of width px fit, in steps that suit months and rows. */
export function labelStep(count, width, px) {
  const fit = Math.max(1, Math.floor(width / px));
  for (const step of [1, 2, 3, 4, 6, 12, 24, 48]) if (count / step <= fit) return step;
  return Math.ceil(count / fit);
}
