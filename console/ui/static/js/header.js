// The header and the row of totals below it.

import { byId, h, s, setAttr, setIcon, setText, toast } from "./dom.js";
import { bytes, int, rate, span } from "./format.js";
import * as api from "./api.js";
import { site } from "./router.js";

const HISTORY = 120; // points of the rate's trace
const STEP_MS = 500; // between two points

export class Header {
  #started = null;
  #figures = new Map();
  #rate = 0;
  #rates = [];

  constructor() {
    this.#theme();
    this.#logLevel();
    this.#vitals();
    setInterval(() => this.#tick(), STEP_MS);
  }

  /** connection shows the state of the stream. */
  connection(state) {
    setAttr(byId("connection"), "data-state", state);
    setText(byId("connection-text"), state);
  }

  /** update shows a snapshot of /api/node. */
  update(node) {
    this.#started = new Date(node.started);
    site(node.name === "troupe" ? "Troupe" : `${node.name} · Troupe`);
    setText(byId("node-name"), node.name === "troupe" ? "" : node.name);
    setText(byId("node-version"), node.version);
    setAttr(byId("health"), "data-state", node.health.status);
    setAttr(byId("health"), "title", node.health.detail || null);
    setText(byId("health-text"), node.health.status === "ok" ? "healthy" : node.health.status);
    const level = byId("log-level");
    if (document.activeElement !== level && node.log_level) level.value = node.log_level;
    const t = node.totals;
    this.#rate = t.rate;
    this.#figure("actors", int(t.actors));
    this.#figure("mailbox", int(t.mailbox));
    this.#figure("rate", rate(t.rate));
    this.#figure("restarts", int(t.restarts), t.restarts > 0);
    this.#figure("dead", int(t.dead_letters), t.dead_letters > 0);
    const [amount, unit] = bytes(node.memory_bytes);
    this.#figure("memory", amount, false, unit);
    this.#uptime();
  }

  /** The trace moves with the clock, not with the messages: it shows the last minute. */
  #tick() {
    if (!this.#started || document.hidden) return;
    this.#rates.push(this.#rate);
    if (this.#rates.length > HISTORY) this.#rates.shift();
    this.#trace();
    this.#uptime();
  }

  #uptime() {
    setText(byId("uptime"), span((Date.now() - this.#started) / 1000));
  }

  #vitals() {
    const make = (key, label, title, unit = "") => {
      const value = h("span", {}, "–");
      const unitEl = h("span", { class: "unit" }, unit);
      const el = h("div", { class: "vital", title, "data-vital": key }, h("dt", {}, label), h("dd", {}, value, unitEl));
      this.#figures.set(key, { el, value, unit: unitEl });
      return el;
    };
    const spark = make("rate", "Messages", "Messages handled per second by all actors, a moving mean of three seconds; the trace shows the last minute", "/s");
    spark.classList.add("spark");
    this.area = s("path", { class: "area" });
    this.line = s("path", { class: "trace" });
    spark.append(s("svg", { viewBox: `0 0 ${HISTORY - 1} 38`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.area, this.line));
    byId("vitals").append(
      spark,
      make("actors", "Actors", "Live actors"),
      make("mailbox", "Waiting", "Messages waiting in all mailboxes"),
      make("restarts", "Restarts", "Restarts of actors since the node started"),
      make("dead", "Undelivered", "Messages in memory that could not be delivered since the node started; durable ones become dead letters"),
      make("memory", "Memory", "Memory that the process has from the operating system"),
    );
  }

  #figure(key, text, notable = false, unit = null) {
    const f = this.#figures.get(key);
    setText(f.value, text);
    if (unit !== null) setText(f.unit, unit);
    setAttr(f.el, "data-tone", notable ? "warn" : null);
  }

  #trace() {
    const top = Math.max(1, ...this.#rates) * 1.15;
    const x0 = HISTORY - this.#rates.length;
    const points = this.#rates.map((v, i) => `${x0 + i},${(37 - (v / top) * 36).toFixed(2)}`);
    setAttr(this.line, "d", "M" + points.join("L"));
    setAttr(this.area, "d", `M${x0},38L${points.join("L")}L${HISTORY - 1},38Z`);
  }

  #theme() {
    const button = byId("theme");
    const glyph = button.querySelector("svg");
    const order = ["auto", "light", "dark"];
    const icons = { auto: "auto", light: "sun", dark: "moon" };
    const names = { auto: "automatic", light: "light", dark: "dark" };
    let theme = document.documentElement.dataset.theme ?? "auto";
    const show = () => {
      setIcon(glyph, icons[theme]);
      button.setAttribute("aria-label", `Theme: ${names[theme]}`);
      button.title = `Theme: ${names[theme]}`;
      if (theme === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
    };
    button.addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      try { localStorage.setItem("troupe-theme", theme); } catch { /* storage is off: the choice lasts for this page */ }
      show();
    });
    show();
  }

  #logLevel() {
    const select = byId("log-level");
    select.addEventListener("change", async () => {
      try {
        const { level } = await api.put("/api/log-level", { level: select.value });
        toast(`The node now logs from ${level} on.`);
      } catch (err) {
        toast(`The log level was not changed: ${err.message}`);
      }
      select.blur();
    });
  }
}
