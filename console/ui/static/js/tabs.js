// Tabs of one card, by the pattern of WAI-ARIA: arrows move, the tab that is
// chosen is the only one in the order of the Tab key.

import { h, setAttr } from "./dom.js";

let made = 0;

export class Tabs {
  picked = "";
  #tabs = new Map(); // name → {tab, panel, part}
  #onPick;

  /** tabs are [name, label, part]; a part has an element, and may have visible(on). onPick(name) is told of clicks. */
  constructor({ label, tabs, onPick }) {
    this.#onPick = onPick;
    const id = `tabs-${++made}`;
    for (const [name, text, part] of tabs) {
      const tab = h("button", { type: "button", role: "tab", class: "tab", id: `${id}-${name}`, "aria-controls": `${id}-${name}-panel`, onclick: () => this.#choose(name) }, text);
      const panel = h("div", { role: "tabpanel", id: `${id}-${name}-panel`, "aria-labelledby": `${id}-${name}`, hidden: true }, part.element);
      this.#tabs.set(name, { tab, panel, part });
    }
    const all = [...this.#tabs.values()];
    this.list = h("div", { role: "tablist", class: "tabs", "aria-label": label, onkeydown: (e) => this.#key(e) }, all.map((t) => t.tab));
    this.element = h("section", { class: "card tabbed" }, this.list, all.map((t) => t.panel));
  }

  /** pick shows a tab; one that does not exist is the first. */
  pick(name) {
    if (!this.#tabs.has(name)) name = this.#tabs.keys().next().value;
    if (name === this.picked) return;
    this.picked = name;
    for (const [n, { tab, panel, part }] of this.#tabs) {
      setAttr(tab, "aria-selected", String(n === name));
      setAttr(tab, "tabindex", n === name ? "0" : "-1");
      panel.hidden = n !== name;
      part.visible?.(n === name);
    }
  }

  #choose(name) {
    this.pick(name);
    this.#onPick(name);
  }

  #key(e) {
    const names = [...this.#tabs.keys()];
    const at = names.indexOf(this.picked);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const name = names[to % names.length];
    this.#choose(name);
    this.#tabs.get(name).tab.focus();
  }
}
