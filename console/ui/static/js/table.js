// A table of data with typed columns, and its pager.

import { h } from "./dom.js";
import { int, numbers } from "./format.js";

/** numeric reports whether a column holds numbers. */
export const numeric = (column) => column.type === "int" || column.type === "float";

/**
 * formatters returns per column a function from a cell to text. Numbers of a
 * column share their decimals; a year or an id is not grouped.
 */
export function formatters(columns, rows) {
  return columns.map((column, i) => {
    if (!numeric(column)) return (v) => String(v);
    const format = numbers(rows.map((r) => r[i]));
    return (v) => (typeof v === "number" ? format(v) : String(v));
  });
}

/** drawTable fills a table element with a page of a result. */
export function drawTable(table, { columns, rows }) {
  const format = formatters(columns, rows);
  const head = h("thead", {}, h("tr", {}, columns.map((c) =>
    h("th", { scope: "col", class: numeric(c) ? "number" : null, title: `${c.name}: ${c.type}` }, c.name))));
  const body = h("tbody", {}, rows.map((row, r) => h("tr", { "data-row": r }, columns.map((c, i) => cell(row[i], c, format[i])))));
  table.replaceChildren(head, body);
}

function cell(value, column, format) {
  if (value === null) return h("td", { class: numeric(column) ? "number null" : "null" }, "null");
  const text = format(value);
  return h("td", { class: numeric(column) ? "number" : null, title: text.length > 40 ? text : null }, text);
}

/** drawPager shows which rows are on display, with buttons to turn pages. */
export function drawPager(element, { total, offset, limit }, onTurn) {
  element.hidden = total <= limit;
  if (element.hidden) return;
  const last = Math.min(total, offset + limit);
  element.replaceChildren(
    h("span", { class: "range" }, `${int(offset + 1)}–${int(last)} of ${int(total)}`),
    h("button", { type: "button", disabled: offset === 0, onclick: () => onTurn(Math.max(0, offset - limit)) }, "Previous"),
    h("button", { type: "button", disabled: last >= total, onclick: () => onTurn(offset + limit) }, "Next"));
}
