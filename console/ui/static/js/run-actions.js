// What a person can do to a run. Each action shows its form on the command line
// before it is done.

import { h } from "./dom.js";
import { post, requestId } from "./api.js";
import { commandLine } from "./cli.js";
import { ask } from "./dialog.js";
import { go } from "./router.js";
import { final } from "./states.js";

/** words is a command line about a run. */
const words = (verb, run, ...rest) => commandLine("troupe", "run", verb, run.id, ...rest);

const path = (run, rest) => `/api/runs/${encodeURIComponent(run.id)}/${rest}`;

/** instance is a node with its iteration: sign[3]. */
const instance = (w) => w.node + (w.iteration ?? []).map((i) => `[${i}]`).join("");

/** payload reads JSON that was typed; nothing is no payload. */
function payload(text) {
  if (!text.trim()) return undefined;
  try {
    return JSON.parse(text);
  } catch (err) {
    throw new Error(`The payload is no JSON: ${err.message}. A text needs quotes.`);
  }
}

export class RunActions {
  #changed;
  #shown = "";

  /** changed() is called after an action. */
  constructor({ changed }) {
    this.#changed = changed;
    this.element = h("div", { class: "actions", role: "group", "aria-label": "Actions" });
  }

  /** update offers what the run's state allows. */
  update(run) {
    const key = run.id + run.state;
    if (key === this.#shown) return;
    const focused = this.element.contains(document.activeElement) ? document.activeElement.textContent : "";
    this.#shown = key;
    const button = (label, act, attrs = {}) => h("button", { type: "button", onclick: act, ...attrs }, label);
    const ended = final(run.state);
    const buttons = [
      run.state === "failed" || run.state === "cancelled" ? button("Retry…", () => this.#retry(run), { class: "primary" }) : null,
      run.state === "paused" ? button("Resume…", () => this.#simple(run, "resume", "Resume"), { class: "primary" }) : null,
      run.state === "running" || run.state === "waiting" ? button("Pause…", () => this.#simple(run, "pause", "Pause")) : null,
      ended ? null : button("Signal…", () => this.signal(run, "")),
      button("Rerun…", () => this.rerun(run, "")),
      ended || run.state === "stopping" ? null : button("Cancel…", () => this.#cancel(run), { class: "danger" }),
    ].filter(Boolean);
    this.element.replaceChildren(...buttons);
    if (focused) (buttons.find((b) => b.textContent === focused) ?? buttons[0])?.focus();
  }

  /** answers are the buttons for something that the run waits for. */
  answers(run, w) {
    if (w.for === "signal") return [h("button", { type: "button", onclick: () => this.signal(run, w.signal) }, "Send it…")];
    if (w.for !== "approval") return [];
    return [
      h("button", { type: "button", class: "primary", onclick: () => this.#answer(run, w, true) }, "Approve…"),
      h("button", { type: "button", class: "danger", onclick: () => this.#answer(run, w, false) }, "Reject…"),
    ];
  }

  async #done(said) {
    await this.#changed();
    return said;
  }

  #simple(run, verb, label) {
    ask({
      title: `${label} the run`, label,
      text: verb === "pause" ? "Nothing new is begun until it is resumed. What is under way goes on to its end." : "The run goes on from where it was paused.",
      cli: () => words(verb, run),
      act: async () => {
        await post(path(run, verb));
        return this.#done(verb === "pause" ? "The run is paused." : "The run goes on.");
      },
    });
  }

  #retry(run) {
    ask({
      title: "Retry the run", label: "Retry",
      text: "Nodes that failed or were cancelled are run again, with what depends on them. What is completed is not.",
      cli: () => words("retry", run),
      act: async () => {
        await post(path(run, "retry"));
        return this.#done("The run goes on.");
      },
    });
  }

  #cancel(run) {
    ask({
      title: "Cancel the run", label: "Cancel the run", danger: true,
      text: "What is under way is interrupted, and what was done is undone as far as the definition says how.",
      fields: [{ name: "reason", label: "Why, for the history", placeholder: "optional" }],
      cli: ({ reason }) => words("cancel", run, reason && ["--reason", reason]),
      act: async ({ reason }) => {
        await post(path(run, "cancel"), { reason });
        return this.#done("The run winds up.");
      },
    });
  }

  /** signal asks for a signal's name, unless it is known, and its payload. */
  signal(run, name) {
    ask({
      title: name ? `Send the signal ${name}` : "Send a signal", label: "Send",
      text: "The first node that waits for it goes on, with the payload as its output. If none does, it is kept for one to come.",
      fields: [
        ...(name ? [] : [{ name: "name", label: "Name", required: true }]),
        { name: "payload", label: "Payload as JSON", type: "area", placeholder: '{"price": 3}', hint: "Optional. A text needs quotes." },
      ],
      cli: (v) => words("signal", run, v.name || name || "NAME", v.payload.trim() && ["--json", v.payload.trim()]),
      act: async (v) => {
        await post(path(run, `signals/${encodeURIComponent(name || v.name.trim())}`), { payload: payload(v.payload) });
        return this.#done("The signal is sent.");
      },
    });
  }

  #answer(run, w, approved) {
    const step = instance(w);
    ask({
      title: `${approved ? "Approve" : "Reject"} ${w.title || step}`, label: approved ? "Approve" : "Reject", danger: !approved,
      text: approved ? "The run goes on by what follows an approval." : "The run goes on by what follows a rejection; without such a way it fails.",
      fields: [{ name: "comment", label: "Comment, for the history", placeholder: "optional" }],
      cli: ({ comment }) => words("approve", run, step, !approved && "--reject", comment && ["--comment", comment]),
      act: async ({ comment }) => {
        await post(path(run, `approvals/${encodeURIComponent(step)}`), { approved, comment });
        return this.#done(approved ? "Approved." : "Rejected.");
      },
    });
  }

  /** rerun asks how to repeat a run as a new one, from a node on or as a whole. */
  rerun(run, from) {
    const nodes = run.nodes.filter((n) => !n.parent).map((n) => [n.id, n.id]);
    const request = requestId();
    ask({
      title: "Run it again", label: "Start a new run",
      text: "A new run repeats this one with the same inputs. Results of nodes before the one to begin with are taken over.",
      fields: [
        { name: "from", label: "Begin with", type: "select", value: from, choices: [["", "the beginning"], ...nodes] },
        { name: "version", label: "Version of the workflow", type: "number", min: 1, step: 1, value: run.version, hint: `This run is of version ${run.version}.` },
      ],
      cli: (v) => words("rerun", run, v.from && ["--from", v.from], Number(v.version) !== run.version && v.version && ["--version", v.version]),
      act: async (v) => {
        const { id } = await post(path(run, "rerun"), { from: v.from, version: Number(v.version) || run.version }, { "Idempotency-Key": request });
        go(`/runs/${encodeURIComponent(id)}`);
        return "A new run has begun.";
      },
    });
  }
}
