// One dead letter: its payload to read and to edit, a rehearsal, and the ways out.

import { byId, h, setAttr, setText, toast } from "./dom.js";
import { moment, plural } from "./format.js";
import { del, get, post, put } from "./api.js";
import { commands } from "./cli.js";

/** button makes one that is disabled while what it does is under way. */
function button(label, act, attrs = {}) {
  const el = h("button", { type: "button", ...attrs }, label);
  el.addEventListener("click", async () => {
    el.disabled = true;
    try {
      await act();
    } catch (err) {
      toast(`${label}: ${err.message}`);
    } finally {
      el.disabled = false;
    }
  });
  return el;
}

export class LetterView {
  #onChanged;
  #onClose;
  #letter = null;
  #wanted = 0;
  #text = null; // the element that is edited
  #rehearsal = null;

  constructor({ onChanged, onClose }) {
    this.#onChanged = onChanged;
    this.#onClose = onClose;
    byId("letter-view").addEventListener("keydown", (e) => {
      if (e.key !== "Escape") return;
      e.stopPropagation();
      this.#onClose(this.#wanted);
    });
  }

  /** show reads a letter and shows it; 0 shows none. */
  async show(id) {
    this.#wanted = id;
    const view = byId("letter-view");
    view.hidden = id === 0;
    if (!id) {
      byId("letters").append(view); // out of a row that may go
      return;
    }
    view.replaceChildren(h("p", { class: "quiet-text" }, "Reading…"));
    try {
      const letter = await get(`/api/letters/${id}`);
      if (this.#wanted === id) this.#draw(letter);
    } catch (err) {
      if (this.#wanted === id) view.replaceChildren(h("p", { "data-tone": "bad" }, err.message));
    }
  }

  #draw(letter) {
    this.#letter = letter;
    const pairs = [
      ["error", `${letter.error_type}: ${letter.error_message}`],
      ["about", letter.subject], ["request", letter.request_id], ["caller", letter.caller_id], ["target", letter.target_id],
      ["sender", letter.sender], ["trace", letter.trace_id],
      ["tried", `${plural(letter.retry_count + 1, "time")}${letter.last_retry_at ? `, last at ${moment(letter.last_retry_at)}` : ""}${letter.redrives ? `; redriven ${plural(letter.redrives, "time")} before` : ""}`],
      ["type", `${letter.type || "unknown"}${letter.codec ? `, ${letter.codec}` : ""}, version ${letter.version}`],
      ["problem", letter.problem],
    ].filter(([, text]) => text);
    const json = letter.payload !== undefined;
    const text = json ? JSON.stringify(letter.payload, null, 2) : letter.hex ?? "";
    this.#text = h("textarea", {
      id: "letter-payload", rows: Math.min(14, Math.max(3, text.split("\n").length + 1)), spellcheck: "false", "aria-describedby": "letter-hint",
    });
    this.#text.value = text;
    this.#rehearsal = h("div", { class: "rehearsal", role: "status", "aria-live": "polite" });
    byId("letter-view").replaceChildren(
      h("dl", { class: "pairs" }, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      h("label", { class: "payload-label", for: "letter-payload" }, json ? "Payload as JSON" : "Raw bytes in hexadecimal"),
      this.#text,
      h("p", { class: "quiet-text", id: "letter-hint" }, json
        ? "Edited as JSON; it is checked against the type when it is saved."
        : "The payload cannot be shown as its type is unknown here, or it does not decode. Bytes are saved as they are."),
      h("div", { class: "letter-actions" },
        button("Save", () => this.#save(json)),
        letter.can_rehearse ? button("Rehearse", () => this.#rehearse(), { title: "Say what would happen if it were redriven now, without it happening" }) : null,
        button("Redrive", () => this.#redrive(), { class: "primary", title: "Put it back into its queue" }),
        button("Delete", () => this.#delete(), { class: "danger" })),
      this.#rehearsal,
      this.#command());
    this.#text.addEventListener("input", () => setAttr(this.#text, "data-edited", this.#text.value !== text));
  }

  /** The same on the command line. */
  #command() {
    const { id } = this.#letter;
    return commands(["show", "edit", "rehearse", "redrive", "delete"].map((verb) => `troupe dlq ${verb} ${id}${verb === "edit" ? " --json @payload.json" : ""}`));
  }

  async #save(json) {
    let body;
    if (json) {
      try {
        body = { payload: JSON.parse(this.#text.value) };
      } catch (err) {
        this.#text.focus();
        throw new Error(`this is no JSON: ${err.message}`);
      }
    } else {
      body = { hex: this.#text.value.replaceAll(/\s/g, "") };
    }
    const letter = await put(`/api/letters/${this.#letter.id}`, body, { "If-Match": `"${this.#letter.version}"` });
    this.#draw(letter);
    this.#text.focus();
    toast(`Letter ${letter.id} is saved, version ${letter.version}.`);
    this.#onChanged();
  }

  /** unsaved keeps an edit from being forgotten. */
  #unsaved() {
    if (this.#text.hasAttribute("data-edited")) throw new Error("save the payload first, or close the letter");
  }

  async #rehearse() {
    this.#unsaved();
    setText(this.#rehearsal, "Rehearsing…");
    const { rehearsals: [r] } = await post("/api/rehearsals", { ids: [this.#letter.id] });
    if (r.error) {
      this.#rehearsal.replaceChildren(h("p", { "data-tone": "bad" }, `Would fail again: ${r.error}`));
      return;
    }
    const effects = [
      ...r.events.map((e) => ["event", e]), ...r.outputs.map((e) => ["message", e]), ...(r.answer ? [["answer", r.answer]] : []),
    ];
    this.#rehearsal.replaceChildren(
      h("p", { "data-tone": "good" }, effects.length > 0 ? "Would be handled, and would cause:" : "Would be handled, with no effect that can be seen."),
      h("ul", {}, effects.map(([what, e]) => h("li", {}, `${what}${e.to ? ` to ${e.to}` : ""}: ${e.type} `, h("code", {}, e.payload !== undefined ? JSON.stringify(e.payload) : e.hex)))));
  }

  async #redrive() {
    this.#unsaved();
    const { id } = this.#letter;
    await post("/api/redrives", { ids: [id] });
    toast(`Letter ${id} is on its way back to ${this.#letter.queue}.`);
    this.#onClose(id);
    this.#onChanged();
  }

  async #delete() {
    const { id, version } = this.#letter;
    if (!window.confirm(`Delete letter ${id} for good?`)) return;
    await del(`/api/letters/${id}`, { "If-Match": `"${version}"` });
    toast(`Letter ${id} is deleted.`);
    this.#onClose(id);
    this.#onChanged();
  }
}
