// Redriving or deleting all letters of a filter: first a dry run, then the deed;
// and how far the redrives under way are.

import { byId, h, reconcile, setAttr, setText, toast } from "./dom.js";
import { int, moment, plural } from "./format.js";
import { del, post } from "./api.js";
import { copyButton } from "./cli.js";

export class Redrive {
  #ask;
  #checked = ""; // the action whose dry run is on display

  /** ask has filter(), command(), total() and onChanged(). */
  constructor(ask) {
    this.#ask = ask;
    byId("bulk-command").after(copyButton(() => byId("bulk-command").textContent));
    byId("redrive-check").addEventListener("click", () => this.#try("redrive"));
    byId("delete-check").addEventListener("click", () => this.#try("delete"));
    byId("bulk-do").addEventListener("click", () => this.#do());
    byId("bulk-cancel").addEventListener("click", () => this.forget());
  }

  /** forget takes the dry run away: the filter has changed. */
  forget() {
    this.#checked = "";
    byId("bulk-confirm").hidden = true;
  }

  /** counted says how many letters the filter lets through. */
  counted(total) {
    byId("bulk").hidden = total === 0;
    setText(byId("redrive-check"), `Redrive ${total === 1 ? "it" : `all ${int(total)}`}…`);
    setText(byId("delete-check"), `Delete ${total === 1 ? "it" : `all ${int(total)}`}…`);
  }

  /** update shows the redrives. */
  update(redrives) {
    reconcile(byId("redrives"), redrives.slice(0, 5), (r) => r.id, (r) => this.#make(r), (el, r) => this.#update(el, r));
  }

  /** Which letters: those of the filter, or all if there is none. */
  #choice() {
    const filter = this.#ask.filter();
    return Object.keys(filter).length > 0 ? { filter } : { all: true };
  }

  #pace() {
    const pace = {};
    const rate = Number(byId("redrive-rate").value);
    const share = Number(byId("redrive-share").value);
    if (rate > 0) pace.rate = rate;
    if (share > 0) pace.fail_share = share / 100;
    return pace;
  }

  async #try(action) {
    try {
      const choice = { ...this.#choice(), dry_run: true };
      const n = action === "redrive"
        ? (await post("/api/redrives", { ...choice, ...this.#pace() })).redriven
        : (await post("/api/letters/delete", choice)).letters;
      this.#checked = action;
      setText(byId("bulk-text"), action === "redrive"
        ? `${plural(n, "letter")} would be brought back to ${n === 1 ? "its queue" : "their queues"}.`
        : `${plural(n, "letter")} would be deleted for good.`);
      setText(byId("bulk-do"), action === "redrive" ? `Redrive ${int(n)}` : `Delete ${int(n)}`);
      setAttr(byId("bulk-do"), "class", action === "redrive" ? "primary" : "danger");
      const rate = action === "redrive" ? Object.entries(this.#pace()).map(([k, v]) => ` --${k.replace("_", "-")} ${v}`).join("") : "";
      setText(byId("bulk-command"), `troupe dlq ${action} ${this.#ask.command()}${rate} --yes`);
      byId("bulk-confirm").hidden = false;
      byId("bulk-do").focus();
    } catch (err) {
      toast(err.message);
    }
  }

  async #do() {
    const action = this.#checked;
    this.forget();
    try {
      if (action === "redrive") {
        const { total } = await post("/api/redrives", { ...this.#choice(), ...this.#pace() });
        toast(`A redrive of ${plural(total, "letter")} has begun.`);
      } else {
        const { letters } = await post("/api/letters/delete", this.#choice());
        toast(`${plural(letters, "letter")} deleted.`);
      }
    } catch (err) {
      toast(err.message);
    }
    this.#ask.onChanged();
    byId("redrive-check").focus();
  }

  #make(r) {
    const stop = h("button", { type: "button", class: "link", "aria-label": `Stop ${r.id}`, onclick: async () => {
      stop.disabled = true;
      try {
        await del(`/api/redrives/${r.id}`);
      } catch (err) {
        toast(err.message);
      }
    } }, "Stop");
    return h("li", { class: "redrive" },
      h("progress", { max: Math.max(1, r.total), value: 0, "aria-label": `Progress of ${r.id}` }),
      h("span", { class: "redrive-text" }), stop);
  }

  #update(el, r) {
    const done = Boolean(r.finished);
    const bar = el.querySelector("progress");
    bar.value = r.handled + r.failed + r.skipped;
    bar.hidden = done;
    el.querySelector("button").hidden = done;
    const figures = [`${int(r.redriven)} of ${plural(r.total, "letter")} brought back`, `${int(r.handled)} handled`];
    if (r.failed > 0) figures.push(`${int(r.failed)} failed again`);
    if (r.pending > 0) figures.push(`${int(r.pending)} under way`);
    const when = done ? `${moment(r.finished)} ` : "";
    setText(el.querySelector(".redrive-text"), `${when}${r.id}: ${figures.join(", ")}${r.stopped ? `; stopped: ${r.stopped}` : ""}`);
    setAttr(el, "data-tone", r.stopped || r.failed > 0 ? "warn" : null);
  }
}
