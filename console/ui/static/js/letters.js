// Dead letters: the list with its filter, and what is done to all it lets through.

import { byId, h, reconcile, setAttr, setText } from "./dom.js";
import { bytes, int, moment, plural } from "./format.js";
import { get } from "./api.js";
import { quoted } from "./cli.js";
import { LetterView } from "./letter.js";
import { Redrive } from "./redrive.js";

const PAGE = 25;

/** The fields of the filter, as the API and the command line call them. */
const FIELDS = {
  queue: "--queue", contains: "--text", error_type: "--error-type", type: "--type", target: "--target",
  caller: "--caller", request: "--request", trace: "--trace", since: "--since", before: "--before",
};

export class Letters {
  #filter = {};
  #after = [0]; // the cursors of the pages up to this one
  #page = { letters: [], total: 0 };
  #seen = ""; // of the overview
  #open = 0; // the letter that is shown
  #loading = 0;
  #typing = 0;
  #view;
  #redrive;

  constructor() {
    this.#view = new LetterView({ onChanged: () => this.load(), onClose: (id) => this.show(id) });
    this.#redrive = new Redrive({ filter: () => this.#filter, command: () => this.#flags(), total: () => this.#page.total, onChanged: () => this.load() });
    const form = byId("letter-filter");
    form.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#read(), 250);
    });
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#read();
    });
    form.addEventListener("reset", () => setTimeout(() => this.#read(), 0));
    byId("letters-previous").addEventListener("click", () => this.#turn(-1));
    byId("letters-next").addEventListener("click", () => this.#turn(1));
  }

  /** update is told of each overview: the list is read again when letters came or went. */
  update(overview) {
    this.#redrive.update(overview.redrives);
    const key = `${overview.dead_letters} ${overview.newest}`;
    const count = overview.dead_letters > 0 ? int(overview.dead_letters) : "";
    setText(byId("letters-count"), count);
    setText(byId("mail-count"), count);
    if (key === this.#seen) return;
    this.#seen = key;
    this.load();
  }

  /** only shows the letters of one queue. */
  only(queue) {
    const form = byId("letter-filter");
    form.reset();
    form.elements.queue.value = queue;
    this.#read();
    byId("letters").scrollIntoView({ block: "start" });
    form.elements.queue.focus({ preventScroll: true });
  }

  /** show opens a letter, or with 0 none. */
  show(id) {
    this.#open = this.#open === id ? 0 : id;
    this.#view.show(this.#open);
    this.#draw();
    if (!this.#open && id) (byId("letter-rows").querySelector(`[data-key="${id}"] button`) ?? byId("letter-rows").querySelector("button"))?.focus();
  }

  /** load reads the page again. */
  async load() {
    const mine = ++this.#loading;
    const q = new URLSearchParams({ ...this.#filter, limit: PAGE });
    const after = this.#after.at(-1);
    if (after) q.set("after", after);
    let page;
    try {
      page = await get(`/api/letters?${q}`);
    } catch (err) {
      if (mine === this.#loading) this.#say(err.message, "bad");
      return;
    }
    if (mine !== this.#loading) return; // another answer is newer
    if (page.letters.length === 0 && this.#after.length > 1) {
      this.#after.pop();
      return this.load();
    }
    this.#page = page;
    this.#draw();
  }

  #read() {
    clearTimeout(this.#typing);
    const data = new FormData(byId("letter-filter"));
    this.#filter = {};
    for (const name of Object.keys(FIELDS)) {
      const text = String(data.get(name) ?? "").trim();
      if (!text) continue;
      this.#filter[name] = name === "since" || name === "before" ? new Date(text).toISOString() : text;
    }
    this.#after = [0];
    this.#redrive.forget();
    this.load();
  }

  /** The filter as flags of the command line. */
  #flags() {
    const flags = Object.entries(this.#filter).map(([name, text]) => `${FIELDS[name]} ${quoted(text)}`);
    return flags.length > 0 ? flags.join(" ") : "--all";
  }

  #turn(by) {
    if (by > 0) this.#after.push(this.#page.next);
    else this.#after.pop();
    this.load();
  }

  #say(text, tone = null) {
    const empty = byId("letters-empty");
    empty.hidden = !text;
    setText(empty, text);
    setAttr(empty, "data-tone", tone);
  }

  #draw() {
    const { letters, total, next } = this.#page;
    const filtered = Object.keys(this.#filter).length > 0;
    this.#say(letters.length > 0 ? "" : filtered ? "No dead letter is like that." : "No dead letters: everything could be handled.");
    reconcile(byId("letter-rows"), letters, (l) => String(l.id), (l) => this.#make(l), (el, l) => this.#update(el, l));
    const before = (this.#after.length - 1) * PAGE;
    byId("letters-pager").hidden = this.#after.length === 1 && !next;
    setText(byId("letters-range"), `${int(before + 1)}–${int(before + letters.length)} of ${int(total)}`);
    byId("letters-previous").disabled = this.#after.length === 1;
    byId("letters-next").disabled = !next;
    setText(byId("letters-matching"), filtered && letters.length > 0 ? `${plural(total, "letter")} match` : "");
    this.#redrive.counted(total);
  }

  #make(l) {
    return h("li", { class: "letter" },
      h("button", { type: "button", class: "letter-open", "aria-expanded": "false", "aria-controls": "letter-view", onclick: () => this.show(l.id) },
        h("span", { class: "letter-id num" }, `#${l.id}`),
        h("time", { datetime: l.created_at, title: l.created_at }, moment(l.created_at)),
        h("span", { class: "letter-queue" }),
        h("span", { class: "letter-type" }),
        h("span", { class: "letter-code" }),
        h("span", { class: "letter-why" })));
  }

  #update(el, l) {
    const [amount, unit] = bytes(l.bytes);
    setText(el.querySelector(".letter-queue"), l.queue || "no queue");
    setText(el.querySelector(".letter-type"), `${l.type || "unknown type"}, ${amount} ${unit}`);
    setText(el.querySelector(".letter-code"), l.error_type);
    setText(el.querySelector(".letter-why"), l.error_message);
    setAttr(el.querySelector("button"), "aria-expanded", String(l.id === this.#open));
    const view = byId("letter-view");
    if (l.id === this.#open && view.parentElement !== el) el.append(view);
    else if (l.id !== this.#open && view.parentElement === el) byId("letters").append(view);
  }
}
