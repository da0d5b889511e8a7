// What opens below a row of the tree: everything that is known of one actor.

import { h, reconcile, s, setAttr, setText } from "./dom.js";
import { bytes, duration, int, moment, plural, rate } from "./format.js";
import { copyButton } from "./cli.js";

const HISTORY = 120;
const SVG_W = 320;
const SVG_H = 44;

/** pairs makes the list of terms and the map by which update finds the values. */
function pairs(terms) {
  const values = new Map();
  const list = h("dl", { class: "pairs" }, terms.map((term) => {
    const dd = h("dd", { class: "num" });
    values.set(term, dd);
    return [h("dt", {}, term), dd];
  }));
  return [list, values];
}

/** isService tells a service, which runs and takes no messages, from other actors. */
export const isService = (a) => a.message_type === "actor.ServiceMessage";

export class ActorDetails {
  #values;
  #rates = [];
  #command;

  /** command(path) is the CLI form of an actor's details. */
  constructor(command) {
    this.#command = command;
    const [left, a] = pairs(["Path", "Type", "Messages", "State", "Id"]);
    const [right, b] = pairs(["Mailbox", "Processed", "Failures", "Handler time", "Memory"]);
    this.#values = new Map([...a, ...b]);
    this.trace = s("path", { class: "trace" });
    this.peak = h("span", {});
    this.bars = s("g", {});
    this.histogram = s("svg", { viewBox: `0 0 ${SVG_W} ${SVG_H}`, preserveAspectRatio: "none", role: "img" }, this.bars);
    this.histogramTitle = h("h3", {});
    this.histogramNote = h("div", {});
    this.error = h("div", { class: "full" });
    this.errorText = h("div", { class: "error-text", tabindex: "0" });
    this.errorTitle = h("h3", {});
    this.error.append(this.errorTitle, this.errorText);
    this.code = h("code", {});
    this.element = h("div", { class: "details" },
      left, right,
      h("div", { class: "histogram" }, h("h3", {}, "Messages per second"),
        h("div", { class: "spark" }, s("svg", { class: "trace-line", viewBox: `0 0 ${HISTORY - 1} ${SVG_H}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.trace)), this.peak),
      h("div", { class: "histogram" }, this.histogramTitle, this.histogram, this.histogramNote),
      this.error,
      h("div", { class: "full" }, h("h3", {}, "From the command line"),
        h("div", { class: "command" }, this.code,
          copyButton(() => this.code.textContent))));
  }

  /** reset forgets the history: the next update is about another actor. */
  reset() {
    this.#rates = [];
  }

  /** update shows an actor; types are the handler times of each type of actor. */
  update(a, types) {
    const set = (term, text) => setText(this.#values.get(term), text);
    set("Path", a.path);
    set("Type", a.type);
    set("Messages", a.capacity === 0 || isService(a) ? "none, it is a service" : a.message_type);
    set("State", a.busy ? `${a.state}, handling a message` : a.state);
    set("Id", String(a.id));
    set("Mailbox", `${int(a.mailbox)} of ${a.capacity > 0 ? int(a.capacity) : "no limit"}${a.blocked > 0 ? `, ${plural(a.blocked, "sender")} waiting for room` : ""}`);
    set("Processed", int(a.processed));
    set("Failures", `${int(a.failures)}, ${plural(a.restarts, "restart")}`);
    set("Handler time", a.processed > 0 ? `${duration(a.handler_mean_seconds)} mean, ${duration(a.handler_max_seconds)} longest, busy ${(a.load * 100).toFixed(1)} % of the time` : "–");
    set("Memory", bytes(a.memory_bytes).join(" "));
    this.#rates.push(a.rate);
    if (this.#rates.length > HISTORY) this.#rates.shift();
    const top = Math.max(1, ...this.#rates);
    const x0 = HISTORY - this.#rates.length;
    setAttr(this.trace, "d", "M" + this.#rates.map((v, i) => `${x0 + i},${(SVG_H - 1 - (v / top) * (SVG_H - 2)).toFixed(2)}`).join("L"));
    setText(this.peak, `now ${rate(a.rate)}, highest ${rate(Math.max(...this.#rates))}`);
    setText(this.histogramTitle, `Handler time of all ${a.type}`);
    this.#drawHistogram(types[a.type]);
    this.error.hidden = !a.last_error;
    if (a.last_error) {
      setText(this.errorTitle, `Last error, ${moment(a.last_error_at)}`);
      setText(this.errorText, a.last_error);
    }
    setText(this.code, this.#command(a.path));
  }

  #drawHistogram(time) {
    const buckets = time?.buckets ?? [];
    const most = Math.max(...buckets.map((b) => b.count));
    const step = Math.min(36, SVG_W / buckets.length);
    reconcile(this.bars, buckets.map((b, i) => ({ ...b, i })), (b) => String(b.i), () => s("rect", {}), (el, b) => {
      const height = Math.max(b.count > 0 ? 1.5 : 0, (b.count / most) * (SVG_H - 2));
      setAttr(el, "x", b.i * step);
      setAttr(el, "y", (SVG_H - height).toFixed(2));
      setAttr(el, "width", step - 2);
      setAttr(el, "height", height.toFixed(2));
    });
    const note = time ? `${buckets[0].from_seconds > 0 ? duration(buckets[0].from_seconds) : "0"} to ${duration(buckets.at(-1).to_seconds)}, half below ${duration(time.p50_seconds)}, 99 % below ${duration(time.p99_seconds)}` : "not measured yet";
    setText(this.histogramNote, note);
    setAttr(this.histogram, "aria-label", note);
  }
}
