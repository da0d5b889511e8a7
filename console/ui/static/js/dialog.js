// A question before something is done: what will happen, what it needs to know,
// and its form on the command line.

import { h, toast } from "./dom.js";
import { command } from "./cli.js";

/** How long after the last key something is tried. */
const TYPING_MS = 400;

/**
 * ask opens a dialog. options:
 *   title, text    what is about to happen
 *   fields         [{name, label, type, value, hint, placeholder, required, rows, choices}]; type as of an input, or "area", "select", "checkbox"
 *   cli(values)    the command line that does the same
 *   trial(values)  tries it first (optional): {element, fine}, shown before it is done; what is not fine has to be agreed to.
 *                  It is tried again when a field of the list trialOn changes.
 *   label          of the button; with danger it is drawn as such
 *   act(values)    does it; what it returns is said in a toast. An error stays in the dialog.
 */
export function ask({ title, text = "", fields = [], cli, label, danger = false, trial, trialOn = [], act }) {
  const inputs = new Map(fields.map((f) => [f.name, input(f)]));
  const values = () => Object.fromEntries([...inputs].map(([name, el]) => [name, el.type === "checkbox" ? el.checked : el.value]));
  const shell = h("div", {});
  const error = h("p", { class: "problem", role: "alert", hidden: true });
  const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, label);
  const tried = h("div", { class: "dialog-trial", role: "status" });
  const form = h("form", { class: "dialog-form" },
    h("h2", {}, title),
    text ? h("p", { class: "dialog-text" }, text) : null,
    fields.map((f) => field(f, inputs.get(f.name))),
    h("div", { class: "dialog-cli" }, h("span", { class: "quiet-text" }, "On the command line"), shell),
    trial ? tried : null, error,
    h("div", { class: "dialog-buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go));
  const dialog = h("dialog", { "aria-label": title }, form);
  const shown = () => shell.replaceChildren(command(cli(values())));
  let triedWith = "";
  const tryIt = async (pause) => {
    const given = values();
    const key = JSON.stringify(trialOn.map((name) => given[name]));
    if (!trial || key === triedWith) return;
    triedWith = key;
    go.disabled = true;
    tried.replaceChildren(h("p", { class: "quiet-text" }, "It is tried on stored runs …"));
    await new Promise((resume) => { setTimeout(resume, pause); });
    if (key !== triedWith) return; // something else was typed meanwhile
    let result;
    try {
      result = await trial(given);
    } catch (err) {
      result = { fine: false, element: h("p", { "data-tone": "bad" }, `It could not be tried on stored runs: ${err.message}`) };
    }
    if (key !== triedWith) return;
    tried.replaceChildren(result.element, result.fine ? "" : h("label", { class: "field check" }, h("input", { type: "checkbox", required: true }), "Go on all the same"));
    go.disabled = false;
  };
  form.addEventListener("input", (e) => {
    shown();
    if (!tried.contains(e.target)) tryIt(e.target.tagName === "SELECT" ? 0 : TYPING_MS);
  });
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    go.disabled = true;
    error.hidden = true;
    try {
      const said = await act(values());
      dialog.close();
      if (said) toast(said);
    } catch (err) {
      error.textContent = err.message;
      error.hidden = false;
    } finally {
      go.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  shown();
  tryIt(0);
  document.body.append(dialog);
  dialog.showModal();
  (danger ? dialog.querySelector(".dialog-buttons button") : dialog.querySelector("input, textarea, select") ?? go).focus();
}

function input(f) {
  const attrs = { name: f.name, required: f.required, placeholder: f.placeholder, id: `ask-${f.name}`, "aria-describedby": f.hint ? `ask-${f.name}-hint` : null };
  if (f.type === "select") return h("select", attrs, f.choices.map(([value, name]) => h("option", { value, selected: value === f.value }, name)));
  if (f.type === "area") {
    const area = h("textarea", { ...attrs, rows: f.rows ?? 5, spellcheck: "false" });
    area.value = f.value ?? "";
    return area;
  }
  const el = h("input", { ...attrs, type: f.type ?? "text", autocomplete: "off", min: f.min, max: f.max, step: f.step });
  if (f.type === "checkbox") el.checked = Boolean(f.value);
  else el.value = f.value ?? "";
  return el;
}

function field(f, el) {
  return h("div", { class: f.type === "checkbox" ? "field check" : "field" },
    h("label", { for: el.id }, f.label), el,
    f.hint ? h("p", { class: "quiet-text", id: `${el.id}-hint` }, f.hint) : null);
}
