// The page that makes a schedule. While it is filled in, the node says when it
// would be due, and what is wrong at which field.

import { h, setAttr, toast } from "./dom.js";
import { get, post, put } from "./api.js";
import { command, commandLine } from "./cli.js";
import { go, setQuery } from "./router.js";
import { bothZones, until } from "./zone.js";

/** How long after the last key the node is asked. */
const TYPING_MS = 250;

/** The ways to say when, and what is typed for each. */
const TIMINGS = {
  cron: ["At times of the calendar", "Cron expression", "0 3 * * *", "Minute, hour, day, month, weekday; with six fields the first is the second."],
  every: ["At a fixed rate", "Interval", "15m", "Counted from when the schedule is made, whatever the runs take: 90s, 15m, 24h."],
  delay: ["With a delay after the last run", "Delay", "30s", "From the end of a run to the next one."],
  at: ["Once", "Instant", "", "By your own clock."],
};

const OVERLAPS = [["skip", "skip the instant"], ["queue", "wait for its end"], ["allow", "run beside it"], ["cancel_running", "cancel it"]];

export class ScheduleForm {
  title = "New schedule";
  #fields = new Map(); // field of the API → {el, error, touched}
  #inputs = [];
  #typing = 0;
  #asked = 0;
  #strict = false; // all mistakes are shown, not only those of fields that were touched

  constructor() {
    const zones = Intl.supportedValuesOf?.("timeZone") ?? [];
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    this.workflow = h("select", {}, h("option", { value: "" }, "choose"));
    this.kind = h("select", { id: "schedule-kind" }, Object.entries(TIMINGS).map(([value, [text]]) => h("option", { value }, text)));
    this.timing = h("div", { class: "start-inputs" });
    this.inputs = h("div", { class: "start-inputs" });
    this.next = h("ol", { class: "instants", "aria-label": "Next times", "aria-live": "polite" });
    this.cli = h("div", {});
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.submit = h("button", { type: "submit", class: "primary" }, "Make the schedule");
    const text = (attrs = {}) => h("input", { autocomplete: "off", spellcheck: "false", ...attrs });
    this.form = h("form", { class: "start-form", novalidate: true, "aria-label": "New schedule" },
      h("div", { class: "start-inputs" },
        this.#field("name", "Name", text({ placeholder: "nightly" }), "Letters, digits, '.', '_' and '-'."),
        this.#field("workflow", "Workflow", this.workflow, ""),
        h("div", { class: "field" }, h("label", { for: "schedule-kind" }, "When"), this.kind)),
      this.timing, this.inputs,
      h("div", { class: "start-inputs" },
        this.#field("overlap", "While a run of it is under way", h("select", {}, OVERLAPS.map(([value, name]) => h("option", { value }, name))), ""),
        this.#field("catch_up", "Catch up", text({ placeholder: "1m" }), "How late an instant may be started, as after a restart."),
        this.#field("jitter", "Jitter", text({ placeholder: "none" }), "Delays each start by a part of this."),
        this.#field("key", "Key", text({ placeholder: "optional" }), "Whose runs they are."),
        this.#field("comment", "Comment", text({ placeholder: "optional" }), "What it is for.")),
      this.problem, h("div", { class: "start-foot" }, this.submit, this.cli));
    this.zone = text({ list: "time-zones", value: zone });
    this.zones = h("datalist", { id: "time-zones" }, zones.map((z) => h("option", { value: z })));
    this.element = h("div", { class: "column" }, h("section", { class: "card" },
      h("header", { class: "card-head" }, h("h2", {}, "New schedule"), h("span", { class: "spacer" }), h("a", { class: "plain", href: "/schedules" }, "All schedules")),
      h("div", { class: "schedule-form" }, this.form, h("div", { class: "schedule-next" }, h("h3", {}, "Next times"), this.next)), this.zones));
    this.form.addEventListener("input", (e) => this.#changed(e.target));
    this.form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#make();
    });
    this.#timings();
  }

  show(_, query) {
    this.#workflows(query.get("workflow") ?? this.workflow.value);
  }

  async #workflows(chosen) {
    try {
      const { workflows } = await get("/api/workflows?limit=1000");
      this.workflow.replaceChildren(h("option", { value: "" }, "choose"), ...workflows.map((w) => h("option", { value: w.workflow }, w.workflow)));
      this.workflow.value = workflows.some((w) => w.workflow === chosen) ? chosen : "";
    } catch (err) {
      this.#say(`The workflows could not be read: ${err.message}`);
    }
    this.#inputsOf(this.workflow.value);
  }

  /** The inputs of a workflow, each with its default. */
  async #inputsOf(name) {
    for (const input of this.#inputs) this.#fields.delete(`inputs.${input.name}`);
    this.#inputs = [];
    if (name) {
      try {
        const { version } = await get(`/api/workflows/${encodeURIComponent(name)}`);
        const view = await get(`/api/workflows/${encodeURIComponent(name)}/versions/${version}`);
        if (name !== this.workflow.value) return;
        this.#inputs = view.definition?.inputs ?? [];
      } catch (err) {
        this.#say(`The workflow could not be read: ${err.message}`);
      }
    }
    const open = (i) => i.value === null || i.value === undefined;
    this.inputs.replaceChildren(...this.#inputs.map((i) => this.#field(`inputs.${i.name}`, `${i.name} (${i.type})`, h("input", { autocomplete: "off", spellcheck: "false", placeholder: open(i) ? "required" : String(i.value) }),
      [i.doc, i.type === "date" ? "${{ schedule.date }} is the day of the instant." : ""].filter(Boolean).join(" "))));
    this.#preview();
  }

  #field(name, label, el, hint) {
    const id = `schedule-${name.replaceAll(".", "-")}`;
    el.id = id;
    el.name = name;
    setAttr(el, "aria-describedby", `${id}-hint ${id}-error`);
    const error = h("p", { class: "problem", id: `${id}-error`, hidden: true });
    this.#fields.set(name, { el, error, touched: false });
    return h("div", { class: "field" }, h("label", { for: id }, label), el, error, hint ? h("p", { class: "quiet-text", id: `${id}-hint` }, hint) : null);
  }

  /** The fields of the way to say when that is chosen. */
  #timings() {
    for (const kind of [...Object.keys(TIMINGS), "time_zone"]) this.#fields.delete(kind);
    const kind = this.kind.value;
    const [, label, value, hint] = TIMINGS[kind];
    this.timing.replaceChildren(
      this.#field(kind, label, h("input", { type: kind === "at" ? "datetime-local" : "text", autocomplete: "off", spellcheck: "false", value, step: kind === "at" ? "1" : null }), hint),
      kind === "cron" ? this.#field("time_zone", "Time zone", this.zone, "Of the expression. Days on which clocks change are known.") : "");
  }

  #changed(el) {
    const f = this.#fields.get(el.name);
    if (f) f.touched = true;
    if (el === this.kind) this.#timings();
    if (el === this.workflow) {
      setQuery(new URLSearchParams(el.value ? { workflow: el.value } : {}));
      this.#inputsOf(el.value);
    }
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#preview(), el.tagName === "SELECT" ? 0 : TYPING_MS);
    this.#command();
  }

  /** The schedule as it stands. */
  #schedule() {
    const out = { inputs: {} };
    for (const [name, { el }] of this.#fields) {
      const value = el.value.trim();
      if (!value || name === "overlap" && value === "skip") continue;
      if (name.startsWith("inputs.")) out.inputs[name.slice(7)] = value;
      else out[name] = name === "at" ? new Date(value).toISOString() : value;
    }
    if (Object.keys(out.inputs).length === 0) delete out.inputs;
    return out;
  }

  #command() {
    const { name, inputs = {}, ...rest } = this.#schedule();
    const flags = Object.entries(rest).map(([key, value]) => [`--${key.replaceAll("_", "-")}`, value]);
    this.cli.replaceChildren(command(commandLine("troupe", "schedule", "put", name || "NAME", ...flags, ...Object.entries(inputs).map(([k, v]) => ["--input", `${k}=${v}`]))));
  }

  /** What the node says to the schedule as it stands. */
  async #preview() {
    const mine = ++this.#asked;
    this.#command();
    try {
      const { next, errors } = await post("/api/schedule-preview", this.#schedule());
      if (mine !== this.#asked) return;
      this.#times(next);
      this.#mark(errors);
    } catch (err) {
      if (mine !== this.#asked) return;
      this.#times([]);
      this.#mark(err.problems?.length ? err.problems.map((p) => ({ ...p, field: (p.where ?? "").replace(/^body\./, "") })) : []);
      if (!err.problems?.length) this.#say(err.message);
    }
  }

  #times(next) {
    const zone = this.kind.value === "cron" ? this.zone.value.trim() || "UTC" : "";
    this.next.replaceChildren(...(next.length ? next.map((at) => h("li", {}, bothZones(at, zone || Intl.DateTimeFormat().resolvedOptions().timeZone), h("span", { class: "faded num" }, until(at))))
      : [h("li", { class: "faded" }, "None, as it stands.")]), ...(this.kind.value === "delay" && next.length ? [h("li", { class: "faded" }, "and then after the end of each run")] : []));
  }

  /** Mistakes stand at their fields; those of fields that were not touched yet wait. */
  #mark(errors) {
    const at = new Map();
    const rest = [];
    for (const e of errors) {
      const text = [e.message, e.hint].filter(Boolean).join("; ");
      const field = e.field === "cron" && !this.#fields.has("cron") ? this.kind.value : e.field;
      if (this.#fields.has(field)) at.set(field, text);
      else rest.push(text);
    }
    for (const [name, f] of this.#fields) {
      const wrong = f.touched || this.#strict ? at.get(name) ?? "" : "";
      f.error.textContent = wrong;
      f.error.hidden = !wrong;
      setAttr(f.el, "aria-invalid", wrong ? "true" : null);
    }
    this.#say(this.#strict || this.workflow.value ? rest.join(". ") : "");
    return at;
  }

  #say(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
  }

  async #make() {
    clearTimeout(this.#typing);
    this.#strict = true;
    this.submit.disabled = true;
    const s = this.#schedule();
    try {
      const { errors } = await post("/api/schedule-preview", s);
      ++this.#asked; // what was asked before has been answered by this
      const wrong = this.#mark(errors);
      if (errors.length > 0) {
        this.#fields.get(wrong.keys().next().value)?.el.focus();
        return;
      }
      await put(`/api/schedules/${encodeURIComponent(s.name)}`, s, { "If-None-Match": "*" });
      toast(`The schedule ${s.name} is made.`);
      this.#strict = false;
      this.#fields.get("name").el.value = "";
      go(`/schedules/${encodeURIComponent(s.name)}`);
    } catch (err) {
      if (err.problems?.length) this.#mark(err.problems.map((p) => ({ ...p, field: (p.where ?? "").replace(/^body\./, "") })));
      else if (err.status === 412) this.#mark([{ field: "name", message: `There is a schedule ${s.name} already.` }]);
      else this.#say(err.message);
    } finally {
      this.submit.disabled = false;
    }
  }
}
