// What a person can do to a trigger.

import { part, post } from "./api.js";
import { commandLine } from "./cli.js";
import { ask } from "./dialog.js";
import { button, pauseButton } from "./entry-actions.js";
import { go } from "./router.js";

/** triggerActions are the buttons for a trigger; changed() is called after an action. */
export function triggerActions(t, changed) {
  return [
    button("Deliver…", () => deliver(t, changed)),
    pauseButton("trigger", t, ["It takes nothing in until it is resumed. Runs under way go on; a webhook is refused meanwhile.", "It takes deliveries in again."], changed),
  ];
}

/** pairs reads lines of NAME=VALUE. */
function pairs(text) {
  const out = [];
  for (const line of text.split("\n").map((l) => l.trim()).filter(Boolean)) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`${line} is no NAME=VALUE.`);
    out.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  return out;
}

const lines = (text) => text.split("\n").map((l) => l.trim()).filter(Boolean);

/** Webhooks have headers, files and records have attributes. */
const OUTSIDE = { webhook: ["Headers", "header", "X-Event=paid"] };
const INSIDE = ["Attributes", "attribute", "path=/data/inbox/a.csv"];

function deliver(t, changed) {
  const [label, flag, example] = OUTSIDE[t.kind] ?? INSIDE;
  ask({
    title: `Deliver to ${t.name}`, label: "Deliver",
    text: "A delivery of your own is handed to the trigger as if it had been let in: no signature is checked, and it does not matter whether it is paused. It starts a run.",
    fields: [
      { name: "body", label: "Body", type: "area", rows: 4, value: flag === "header" ? "{}" : "" },
      { name: "more", label, type: "area", rows: 2, placeholder: example, hint: "A line for each, as NAME=VALUE." },
      { name: "id", label: "Id", placeholder: "optional", hint: "The same again starts nothing." },
    ],
    cli: (v) => commandLine("troupe", "trigger", "deliver", t.name, v.body && ["--body", v.body], lines(v.more).map((l) => [`--${flag}`, l]).flat(), v.id && ["--id", v.id]),
    act: async (v) => {
      const given = pairs(v.more);
      const more = flag === "header" ? { header: Object.fromEntries(given.map(([k, x]) => [k, [x]])) } : { attributes: Object.fromEntries(given) };
      const { id, repeated } = await post(`/api/triggers/${part(t.name)}/deliver`, { body: v.body, ...(v.id && { id: v.id }), ...(given.length > 0 && more) });
      changed();
      go(`/runs/${encodeURIComponent(id)}`);
      return repeated ? "It had come before: this is the run of the first time." : "A run has begun.";
    },
  });
}
