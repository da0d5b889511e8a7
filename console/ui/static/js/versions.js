// The versions of a workflow: which one is active, what differs between two.

import { h, setText, toast } from "./dom.js";
import { exact, moment } from "./format.js";
import { get, put } from "./api.js";
import { command, commandLine } from "./cli.js";
import { ask } from "./dialog.js";
import { replayed } from "./replay.js";
import { around, textDiff } from "./text-diff.js";

const TONES = { added: "good", removed: "bad", changed: "warn", renamed: "active", "+": "good", "-": "bad" };

const shown = (value) => (value === undefined || value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));

export class Versions {
  #name = "";
  #active = 0;
  #versions = [];
  #asked = 0;
  #onShow;
  #onChanged;

  /** onShow(version) shows another version, onChanged() is told of a new active one. */
  constructor({ onShow, onChanged }) {
    this.#onShow = onShow;
    this.#onChanged = onChanged;
    this.rows = h("tbody", {});
    this.from = h("select", { "aria-label": "Older version" });
    this.to = h("select", { "aria-label": "Newer version" });
    for (const select of [this.from, this.to]) select.addEventListener("change", () => this.#compare());
    this.diff = h("div", { class: "diff", role: "region", "aria-label": "Differences" });
    this.note = h("p", { class: "empty", hidden: true });
    this.bar = h("div", { class: "bar" }, "Compare", this.from, "with", this.to);
    this.element = h("div", {}, this.note,
      h("div", { class: "table-scroll" }, h("table", { class: "list", "aria-label": "Versions" },
        h("thead", {}, h("tr", {}, ["Version", "Deployed", "From", "What is new", ""].map((t) => h("th", { scope: "col" }, t)))), this.rows)),
      this.bar, this.diff);
  }

  /** open shows the versions of a workflow. */
  async open(name) {
    const mine = ++this.#asked;
    const other = name !== this.#name;
    this.#name = name;
    try {
      const { versions } = await get(`/api/workflows/${encodeURIComponent(name)}/versions`);
      if (mine !== this.#asked) return;
      this.note.hidden = true;
      this.#versions = versions;
      this.#active = versions.find((v) => v.active)?.version ?? 0;
      this.#draw(other);
    } catch (err) {
      if (mine !== this.#asked) return;
      this.note.hidden = false;
      setText(this.note, `The versions could not be read: ${err.message}`);
    }
  }

  #draw(other) {
    this.rows.replaceChildren(...this.#versions.map((v) => h("tr", {},
      h("th", { scope: "row" }, h("button", { type: "button", class: "link", title: "Show its graph", onclick: () => this.#onShow(v.version) }, `v${v.version}`),
        v.active ? h("span", { class: "badge", "data-tone": "good" }, "active") : null),
      h("td", {}, h("time", { datetime: v.created, title: v.created }, moment(v.created))), h("td", { class: "clip" }, v.file), h("td", { class: "clip", title: v.comment }, v.comment ?? ""),
      h("td", { class: "number" }, v.active ? null : h("button", { type: "button", onclick: () => this.#activate(v.version) }, "Make active…")))));
    const several = this.#versions.length > 1;
    this.bar.hidden = !several;
    this.diff.hidden = !several;
    if (!several) {
      this.note.hidden = false;
      this.note.textContent = "There is one version. Deploy a changed definition, and what differs is shown here.";
      return;
    }
    const before = [this.from.value, this.to.value];
    for (const select of [this.from, this.to]) select.replaceChildren(...this.#versions.map((v) => h("option", { value: v.version }, `v${v.version}`)));
    [this.from.value, this.to.value] = other || !before[0] ? [this.#versions[1].version, this.#versions[0].version] : before;
    this.#compare();
  }

  #activate(version) {
    const active = this.#active;
    const path = `/api/workflows/${encodeURIComponent(this.#name)}/active`;
    ask({
      title: `Make version ${version} the active one`, label: "Make active",
      text: `New runs begin with version ${version} instead of ${active}. Runs under way stay with the version they began with.`,
      cli: () => commandLine("troupe", "workflow", "activate", this.#name, version),
      trial: () => replayed(this.#name, version),
      act: async () => {
        await put(path, { version }, { "If-Match": `"${active}"` });
        this.#onChanged();
        return `Version ${version} is active.`;
      },
    });
  }

  async #compare() {
    const mine = ++this.#asked;
    const [from, to] = [this.from.value, this.to.value];
    const path = `/api/workflows/${encodeURIComponent(this.#name)}`;
    const read = (v) => get(`${path}/versions/${v}`);
    try {
      const [a, b, diff] = await Promise.all([read(from), read(to), get(`${path}/diff?from=${from}&to=${to}`).catch((err) => ({ error: err.message }))]);
      if (mine !== this.#asked) return;
      this.diff.replaceChildren(
        command(commandLine("troupe", "workflow", "diff", this.#name, "--from", from, "--to", to)),
        structure(diff), h("h3", {}, "Text"), text(a.text ?? "", b.text ?? ""));
    } catch (err) {
      if (mine === this.#asked) toast(`The versions could not be compared: ${err.message}`);
    }
  }
}

/** structure shows what differs in the graph and its settings. */
function structure(diff) {
  if (diff.error) return h("p", { class: "quiet-text" }, `What differs in the graph cannot be said: ${diff.error}`);
  const setting = (s) => h("li", {}, h("code", {}, s.path), " ", h("del", {}, shown(s.old)), " → ", h("ins", {}, shown(s.new)));
  const part = (what) => (p) => h("li", {}, h("span", { "data-tone": TONES[p.kind] }, p.kind), ` ${what} `, h("b", {}, p.name), p.was ? ` (was ${p.was})` : "", p.type ? h("span", { class: "faded" }, ` ${p.type}`) : null,
    p.settings?.length ? h("ul", {}, p.settings.map(setting)) : null);
  const lines = [
    ...(diff.settings ?? []).map(setting), ...(diff.inputs ?? []).map(part("input")), ...(diff.nodes ?? []).map(part("node")),
    ...(diff.edges ?? []).map((e) => h("li", {}, h("span", { "data-tone": TONES[e.kind] }, e.kind), ` edge ${e.from} `, h("span", { class: "faded" }, e.handle), ` → ${e.to}`)),
  ];
  return lines.length > 0 ? h("ul", { class: "diff-parts" }, lines) : h("p", { class: "quiet-text" }, "Both do the same: what differs is only how the text is written.");
}

/** text shows the lines that differ, with those around them. */
function text(from, to) {
  if (from === to) return h("p", { class: "quiet-text" }, "The texts are the same.");
  return h("pre", { class: "diff-text", tabindex: "0" }, around(textDiff(from, to)).map(([kind, line]) =>
    h("div", { "data-kind": kind, "data-tone": TONES[kind] ?? null }, kind === "…" ? `  ⋯ ${exact(line)} lines are the same` : `${kind} ${line}`)));
}
