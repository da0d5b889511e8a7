// The page of one schedule or trigger, which is read again while it is on display.

import { h, setText } from "./dom.js";
import { get, part } from "./api.js";
import { Refresher, listen } from "./live.js";
import { titled } from "./router.js";

/** How often it is read again without being told of a change. */
const AGE_MS = 5000;

export class EntryPage {
  #name = "";
  #stop = [];
  #shown = "";
  #options;
  #refresher = new Refresher(() => this.#read(), 1000);

  /**
   * kind is "schedule" or "trigger", events are those of the stream with which it is
   * read again. The page that extends this one has draw(entry, other), where other
   * says that more than its figures may have changed, and missing(name).
   */
  constructor({ kind, events }) {
    this.#options = { kind, events };
    this.heading = h("h2", { class: "run-name" });
    this.state = h("span", {});
    this.actions = h("div", { class: "actions" });
    this.facts = h("p", { class: "facts" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.card = h("section", { class: "card" },
      h("header", { class: "card-head" }, this.heading, this.state, h("span", { class: "spacer" }), this.actions, h("a", { class: "plain", href: `/${kind}s` }, `All ${kind}s`)),
      this.facts, this.problem);
    this.element = h("div", { class: "column" }, this.card);
  }

  show({ name }) {
    this.hide();
    if (name !== this.#name) this.#shown = "";
    this.#name = name;
    titled(name);
    setText(this.heading, name);
    this.#stop = [...this.#options.events.map((event) => listen(event, () => this.ask())), clearInterval.bind(null, setInterval(() => this.ask(), AGE_MS))];
    this.ask();
  }

  hide() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.#refresher.stop();
  }

  /** ask has it read again. */
  ask() {
    this.#refresher.ask();
  }

  async #read() {
    const name = this.#name;
    const { kind } = this.#options;
    try {
      const entry = await get(`/api/${kind}s/${part(name)}`);
      if (name !== this.#name) return;
      this.problem.hidden = true;
      const shown = JSON.stringify([entry.name, entry.revision, entry.paused]);
      this.draw(entry, shown !== this.#shown);
      this.#shown = shown;
    } catch (err) {
      if (name !== this.#name) return;
      this.problem.hidden = false;
      if (err.status === 404) this.missing(name);
      else setText(this.problem, `The ${kind} could not be read: ${err.message}`);
    }
  }
}

/** definedBy says where an entry is changed that is part of a definition. */
export const definedBy = (entry) => h("span", {}, "by ", h("a", { href: `/workflows/${part(entry.workflow)}?tab=definition` }, entry.workflow), ", and changes with it");

/** pairs fills a list of names and values; those without a value are left out. */
export function pairs(list, all) {
  list.replaceChildren(...all.filter(([, v]) => v).flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
}
