// The queues of durable actors: what waits, what is being handled, what failed.

import { byId, h, reconcile, setAttr, setText } from "./dom.js";
import { int, moment, plural, span } from "./format.js";

export class Queues {
  #onLetters;
  #onActor;

  /** onLetters(queue) shows the dead letters of a queue, onActor(path) its actor. */
  constructor({ onLetters, onActor }) {
    this.#onLetters = onLetters;
    this.#onActor = onActor;
  }

  /** update shows an overview. */
  update({ queues, more, error, engine }) {
    const empty = byId("queues-empty");
    empty.hidden = queues.length > 0 && !error;
    setText(empty, error ? `The store does not answer: ${error}` : "No message waits, and no durable actor runs.");
    setAttr(empty, "data-tone", error ? "bad" : null);
    byId("queues-table").hidden = queues.length === 0;
    setText(byId("queues-count"), queues.length > 0 ? `${plural(queues.length, "queue")}${more ? " and more" : ""}, ${engine}` : engine);
    reconcile(byId("queue-rows"), queues, (q) => q.name, (q) => this.#make(q), (el, q) => this.#update(el, q));
  }

  #make(q) {
    const cell = (cls) => h("td", { class: `number ${cls}`, "data-label": cls });
    const name = h("th", { scope: "row" },
      q.actor ? h("button", { type: "button", class: "link", title: `Show ${q.actor}`, onclick: () => this.#onActor(q.actor) }, q.name) : q.name);
    const dead = h("td", { class: "number buried", "data-label": "dead" },
      h("button", { type: "button", class: "link", title: "Show the dead letters of this queue", onclick: () => this.#onLetters(q.name) }));
    return h("tr", {}, name, cell("ready"), cell("held"), cell("delayed"), cell("oldest"), cell("retried"), dead);
  }

  #update(el, q) {
    for (const figure of ["ready", "held", "delayed", "retried"]) setText(el.querySelector("." + figure), int(q[figure]));
    const oldest = el.querySelector(".oldest");
    setText(oldest, q.oldest ? span((Date.now() - Date.parse(q.oldest)) / 1000) : "–");
    setAttr(oldest, "title", q.oldest ? moment(q.oldest) : null);
    setText(el.querySelector(".buried button"), int(q.buried));
  }
}
