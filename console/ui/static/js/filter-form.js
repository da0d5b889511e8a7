// A form whose fields are the filter of a list, and the query of the address.

import { h } from "./dom.js";

/** How long after the last key the list is read. */
const TYPING_MS = 250;

export class FilterForm {
  #fields;
  #onChange;
  #typing = 0;

  /**
   * fields are [{name, label, type, choices, placeholder, cli}]; type is that of
   * an input, or "select". onChange(query) is called with the fields that are
   * not empty.
   */
  constructor({ label, fields, onChange }) {
    this.#fields = fields;
    this.#onChange = onChange;
    this.element = h("form", { class: "letter-filter", role: "search", "aria-label": label },
      fields.map((f) => h("label", {}, f.label, this.#input(f))),
      h("button", { type: "reset" }, "Clear"));
    this.element.addEventListener("input", (e) => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#changed(), e.target.tagName === "SELECT" ? 0 : TYPING_MS);
    });
    this.element.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#changed();
    });
    this.element.addEventListener("reset", () => setTimeout(() => this.#changed(), 0));
  }

  #input(f) {
    if (f.type !== "select") return h("input", { name: f.name, type: f.type ?? "text", autocomplete: "off", placeholder: f.placeholder, list: f.list });
    return h("select", { name: f.name }, f.choices.map(([value, text]) => h("option", { value }, text)));
  }

  /** choices changes those of a select, and keeps what is chosen. */
  choices(name, list) {
    const select = this.element.elements[name];
    const have = JSON.stringify(list);
    if (select.dataset.choices === have) return;
    select.dataset.choices = have;
    const value = select.value || select.dataset.wanted || "";
    select.replaceChildren(...list.map(([v, text]) => h("option", { value: v }, text)));
    select.value = value;
  }

  /** fill shows a query of an address. */
  fill(query) {
    for (const f of this.#fields) {
      const el = this.element.elements[f.name];
      const text = query.get(f.name) ?? "";
      const value = f.type === "datetime-local" && text ? local(text) : text;
      if (f.type === "select") {
        el.dataset.wanted = value;
        if (value && ![...el.options].some((o) => o.value === value)) el.append(h("option", { value }, value));
      }
      if (document.activeElement !== el) el.value = value;
    }
  }

  /** query has the fields that are not empty, times in UTC. */
  query() {
    const q = new URLSearchParams();
    for (const f of this.#fields) {
      const text = this.element.elements[f.name].value.trim();
      if (!text) continue;
      q.set(f.name, f.type === "datetime-local" ? new Date(text).toISOString() : text);
    }
    return q;
  }

  #changed() {
    clearTimeout(this.#typing);
    this.#onChange(this.query());
  }
}

/** local is an instant as the value of an input of the type datetime-local. */
export function local(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.valueOf())) return "";
  const two = (n) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}
