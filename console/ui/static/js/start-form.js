// The form that starts a run: a field for each input of the definition, of its
// type, with its default.

import { h, setAttr, toast } from "./dom.js";
import { post, requestId } from "./api.js";
import { command, commandLine } from "./cli.js";
import { go } from "./router.js";

/** What a person can type for each type, and what an input of the page is best for it. */
const KINDS = {
  int: { type: "text", inputmode: "numeric", hint: "a whole number" },
  float: { type: "text", inputmode: "decimal", hint: "a number" },
  string: { type: "text", hint: "a text" },
  date: { type: "date", hint: "a day" },
  timestamp: { type: "text", hint: "an instant such as 2026-03-29T02:30:00Z" },
  bool: { hint: "true or false" },
};

export class StartForm {
  #name = "";
  #version = 0;
  #inputs = [];
  #fields = new Map(); // name → {el, error, given}
  #request = requestId();

  constructor() {
    this.key = h("input", { name: "key", id: "start-key", autocomplete: "off", placeholder: "optional", "aria-describedby": "start-key-hint" });
    this.priority = h("input", { name: "priority", id: "start-priority", type: "number", step: "1", value: "0" });
    this.inputs = h("div", { class: "start-inputs" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.cli = h("div", {});
    this.submit = h("button", { type: "submit", class: "primary" }, "Start a run");
    this.element = h("form", { class: "start-form", novalidate: true, "aria-label": "Start a run" },
      this.inputs,
      h("div", { class: "start-inputs" },
        h("div", { class: "field" }, h("label", { for: "start-key" }, "Key"), this.key, h("p", { class: "quiet-text", id: "start-key-hint" }, "Whose run it is, such as a customer; runs are found by it.")),
        h("div", { class: "field" }, h("label", { for: "start-priority" }, "Priority"), this.priority, h("p", { class: "quiet-text" }, "Higher goes first where tasks compete."))),
      this.problem, h("div", { class: "start-foot" }, this.submit, this.cli));
    this.element.addEventListener("input", (e) => {
      for (const f of this.#fields.values()) if (f.el === e.target) f.given = true;
      this.#request = requestId(); // another request than the one before
      this.#command();
    });
    this.element.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#start();
    });
  }

  /** update shows the inputs of a definition; active says that new runs are of this version anyway. */
  update(definition, version, active) {
    const key = JSON.stringify([definition.name, version, definition.inputs]);
    this.#name = definition.name;
    this.#version = active ? 0 : version;
    if (this.inputs.dataset.shown !== key) {
      this.inputs.dataset.shown = key;
      this.#inputs = definition.inputs ?? [];
      this.#fields.clear();
      this.inputs.replaceChildren(...this.#inputs.map((i) => this.#field(i)),
        this.#inputs.length === 0 ? h("p", { class: "quiet-text" }, "This workflow takes no inputs.") : "");
    }
    this.submit.textContent = active ? "Start a run" : `Start a run of version ${version}`;
    this.#command();
  }

  #field(input) {
    const kind = KINDS[input.type] ?? { type: "text", hint: input.type };
    const id = `start-${input.name}`;
    const open = input.value === null || input.value === undefined;
    const value = open ? "" : String(input.value);
    const attrs = { id, name: input.name, "aria-describedby": `${id}-hint ${id}-error` };
    const el = input.type === "bool"
      ? h("select", attrs, open ? h("option", { value: "" }, "choose") : null, ["true", "false"].map((v) => h("option", { value: v, selected: v === value }, v)))
      : h("input", { ...attrs, type: kind.type, inputmode: kind.inputmode, autocomplete: "off", spellcheck: "false", placeholder: open ? "required" : null });
    el.value = value;
    const error = h("p", { class: "problem", id: `${id}-error`, hidden: true });
    this.#fields.set(input.name, { el, error, given: false, open });
    return h("div", { class: "field" }, h("label", { for: id }, input.name, h("span", { class: "faded" }, ` ${input.type}`)), el, error,
      h("p", { class: "quiet-text", id: `${id}-hint` }, [input.doc, open ? `It has no default: give ${kind.hint}.` : `Default ${value}.`].filter(Boolean).join(" ")));
  }

  /** The values that were given; those left alone have the definition's default. */
  #values() {
    return Object.fromEntries([...this.#fields].filter(([, f]) => f.given || (f.open && f.el.value !== "")).map(([name, f]) => [name, f.el.value]));
  }

  #command() {
    const inputs = Object.entries(this.#values()).map(([name, value]) => ["--input", `${name}=${value}`]);
    const line = commandLine("troupe", "workflow", "start", this.#name, ...inputs, this.key.value && ["--key", this.key.value],
      Number(this.priority.value) && ["--priority", this.priority.value], this.#version && ["--version", this.#version]);
    this.cli.replaceChildren(command(line));
  }

  async #start() {
    this.#mark(new Map(), "");
    this.submit.disabled = true;
    try {
      const body = { inputs: this.#values(), priority: Number(this.priority.value) || 0, ...(this.key.value && { key: this.key.value }), ...(this.#version && { version: this.#version }) };
      const { id } = await post(`/api/workflows/${encodeURIComponent(this.#name)}/runs`, body, { "Idempotency-Key": this.#request });
      this.#request = requestId();
      toast("A run has begun.");
      go(`/runs/${encodeURIComponent(id)}`);
    } catch (err) {
      this.#refused(err);
    } finally {
      this.submit.disabled = false;
    }
  }

  /** What the node says about an input stands at its field, all else at the foot. */
  #refused(err) {
    const at = new Map();
    const rest = [];
    for (const p of err.problems ?? []) {
      const name = /input "([^"]+)"/.exec(p.message)?.[1] ?? /(?:^|\.)inputs\.([^.]+)$/.exec(p.where ?? "")?.[1];
      const text = [p.message, p.hint].filter(Boolean).join("; ");
      if (this.#fields.has(name)) at.set(name, text);
      else rest.push(text);
    }
    this.#mark(at, at.size > 0 ? rest.join(". ") : err.message);
    this.#fields.get(at.keys().next().value)?.el.focus();
  }

  #mark(at, text) {
    for (const [name, f] of this.#fields) {
      const wrong = at.get(name) ?? "";
      f.error.textContent = wrong;
      f.error.hidden = !wrong;
      setAttr(f.el, "aria-invalid", wrong ? "true" : null);
    }
    this.problem.textContent = text;
    this.problem.hidden = !text;
  }
}
