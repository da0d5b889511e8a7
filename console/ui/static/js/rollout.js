// How a version of a workflow gets its runs: a canary that goes on in steps, or a
// split between versions; with the figures of each.

import { h, toast } from "./dom.js";
import { duration, int, moment } from "./format.js";
import { del, get, put } from "./api.js";
import { command, commandLine } from "./cli.js";
import { ask } from "./dialog.js";
import { Refresher, listen } from "./live.js";
import { replayed } from "./replay.js";

const TONES = { active: "active", completed: "good", rolled_back: "bad", ended: "idle" };

const percent = (share) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

const latency = (ns) => (ns > 0 ? duration(ns / 1e9) : "–");

export class Rollout {
  #name = "";
  #active = 0;
  #versions = [];
  #stop = null;
  #visible = false;
  #onChanged;
  #refresher = new Refresher(() => this.#read(), 1500);

  /** onChanged() is called when another version may be the active one. */
  constructor({ onChanged }) {
    this.#onChanged = onChanged;
    this.element = h("div", { class: "rollout" });
  }

  /** open shows the rollout of a workflow whose active version is that. */
  open(name, active) {
    if (name !== this.#name) this.element.replaceChildren();
    this.#name = name;
    this.#active = active;
    if (this.#visible) this.#refresher.ask();
  }

  /** visible says whether it is on display; only then it is read, and kept up to date. */
  visible(on) {
    this.#visible = on;
    this.#stop?.();
    this.#stop = on ? listen("runs", () => this.#refresher.ask()) : null;
    if (on) this.#refresher.ask();
    else this.#refresher.stop();
  }

  #path() {
    return `/api/workflows/${encodeURIComponent(this.#name)}`;
  }

  #line(...words) {
    return commandLine("troupe", "workflow", "rollout", this.#name, ...words);
  }

  async #read() {
    const name = this.#name;
    if (!name) return;
    try {
      const [{ versions }, rollout] = await Promise.all([get(`${this.#path()}/versions`), get(`${this.#path()}/rollout`)]);
      if (name !== this.#name) return;
      this.#versions = versions;
      this.#draw(rollout);
    } catch (err) {
      if (name === this.#name) this.element.replaceChildren(h("p", { class: "empty", "data-tone": "bad" }, `The rollout could not be read: ${err.message}`));
    }
  }

  #draw(r) {
    const focused = this.element.contains(document.activeElement) ? document.activeElement.textContent : "";
    const few = this.#versions.length < 2;
    const begin = [
      h("button", { type: "button", disabled: few, onclick: () => this.#begin() }, "Roll out a version…"),
      h("button", { type: "button", disabled: few, onclick: () => this.#split() }, "Split the runs…"),
    ];
    const active = r.state === "active";
    this.element.replaceChildren(
      r.state !== "none" ? this.#state(r) : h("p", { class: "quiet-text" }, few
        ? "There is one version. Deploy a changed definition, and it can be given a small share of the runs first."
        : "All new runs begin with the active version. A rollout gives another one a share of them that grows in steps, and takes it back by itself if it does worse."),
      h("div", { class: "actions start" }, active ? h("button", { type: "button", class: "danger", onclick: () => this.#end(r) }, "End it…") : begin),
      command(this.#line()));
    if (focused) [...this.element.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
  }

  #state(r) {
    const what = r.split?.length ? "A split" : `Version ${r.candidate} in place of ${r.stable}`;
    const step = r.state === "active" && r.step && r.steps?.length ? `step ${r.step} of ${r.steps.length}: ${r.percent} % of the runs` : "";
    return h("div", {},
      h("p", { class: "rollout-state" }, h("b", {}, what), h("span", { class: "badge", "data-tone": TONES[r.state] ?? "idle" }, r.state.replace("_", " ")), h("span", {}, step), r.due ? h("span", { class: "faded" }, `not before ${moment(r.due)}`) : null),
      r.reason ? h("p", { class: "quiet-text" }, r.reason) : null,
      h("div", { class: "table-scroll" }, h("table", { class: "list", "aria-label": "Figures of the versions" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Version"), ["Share", "Runs", "Completed", "Failed", "Error rate", "Half below", "95 % below"].map((t) => h("th", { scope: "col", class: "number" }, t)))),
        h("tbody", {}, (r.arms ?? []).map((a) => h("tr", {}, h("th", { scope: "row" }, `v${a.version}`, h("span", { class: "faded" }, a.version === r.candidate ? " candidate" : a.version === r.stable ? " stable" : "")),
          [`${a.percent} %`, int(a.runs), int(a.completed), int(a.failed), percent(a.error_rate), latency(a.p50_ns), latency(a.p95_ns)].map((t) => h("td", { class: "number" }, t))))))),
      h("ol", { class: "rollout-changes", "aria-label": "What became of it" }, (r.changes ?? []).toReversed().slice(0, 10).map((c) => h("li", {}, h("time", { class: "faded num", datetime: c.at }, moment(c.at)), h("span", { "data-tone": TONES[c.state] }, `${c.percent} %`), h("span", {}, c.reason)))));
  }

  /** The versions as they are now: one may have been staged since they were read. */
  async #reread() {
    try {
      this.#versions = (await get(`${this.#path()}/versions`)).versions;
    } catch (err) {
      toast(`The versions could not be read: ${err.message}`);
    }
  }

  async #begin() {
    await this.#reread();
    const others = this.#versions.filter((v) => v.version !== this.#active);
    const body = (v) => ({
      candidate: Number(v.candidate), steps: v.steps.split(/[\s,]+/).filter(Boolean).map(Number), step_after: v.step_after, min_runs: Number(v.min_runs) || 0,
      max_error_rate: Number(v.max_errors) / 100 || 0, max_latency: Number(v.max_latency) || 0,
    });
    ask({
      title: "Roll out a version", label: "Begin",
      text: `Version ${this.#active} keeps the other runs. The rollout goes back to it by itself if the new version fails or takes too long.`,
      fields: [
        { name: "candidate", label: "Version", type: "select", choices: others.map((v) => [String(v.version), `v${v.version}${v.comment ? ` · ${v.comment}` : ""}`]) },
        { name: "steps", label: "Shares in percent", value: "5, 20, 100", hint: "Rising; the last one is 100." },
        { name: "step_after", label: "Each step takes at least", value: "10m" },
        { name: "min_runs", label: "Runs of the version in each step, at least", type: "number", min: 1, step: 1, value: 20 },
        { name: "max_errors", label: "Back if more of its runs fail than, in percent", type: "number", min: 0.1, max: 100, step: "any", value: 5 },
        { name: "max_latency", label: "Back if its runs take longer by the factor", type: "number", min: 1, step: "any", value: 2 },
      ],
      cli: (v) => {
        const b = body(v);
        return this.#line("--candidate", b.candidate, "--steps", b.steps.join(","), "--step-after", b.step_after, "--min-runs", b.min_runs, "--max-error-rate", b.max_error_rate, "--max-latency", b.max_latency);
      },
      trial: (v) => replayed(this.#name, Number(v.candidate)), trialOn: ["candidate"],
      act: async (v) => {
        await put(`${this.#path()}/rollout`, body(v));
        this.#refresher.ask();
        return "The rollout has begun.";
      },
    });
  }

  async #split() {
    await this.#reread();
    const [other] = this.#versions.filter((v) => v.version !== this.#active);
    const shares = (v) => v.split.split(/[\s,]+/).filter(Boolean).map((one) => one.split("=").map(Number)).map(([version, percent]) => ({ version, percent }));
    ask({
      title: "Split the runs", label: "Begin",
      text: "Each version gets a fixed share of the runs, and the figures of each are shown, until somebody ends it. Runs with the same key get the same version.",
      fields: [{ name: "split", label: "Shares, as VERSION=PERCENT", value: `${this.#active}=50, ${other.version}=50`, required: true, hint: `They add up to 100. There are ${this.#versions.map((v) => `v${v.version}`).join(", ")}.` }],
      cli: (v) => this.#line("--split", v.split.split(/[\s,]+/).filter(Boolean).join(",")),
      trial: async (v) => {
        let result = { fine: true, element: "" };
        for (const { version } of shares(v)) if (result.fine && version > 0 && version !== this.#active) result = await replayed(this.#name, version);
        return result;
      },
      trialOn: ["split"],
      act: async (v) => {
        await put(`${this.#path()}/rollout`, { split: shares(v) });
        this.#refresher.ask();
        return "The split has begun.";
      },
    });
  }

  #end(r) {
    ask({
      title: "End the rollout", label: "End the rollout", danger: true,
      text: `All new runs begin with version ${r.stable} again. Runs under way stay with theirs. To keep the new version, make it the active one on the tab Versions instead.`,
      cli: () => this.#line("--end"),
      act: async () => {
        await del(`${this.#path()}/rollout`);
        this.#onChanged();
        this.#refresher.ask();
        return "The rollout has ended.";
      },
    });
  }
}
