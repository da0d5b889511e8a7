// What a person can do to a schedule.

import { part, post, requestId } from "./api.js";
import { commandLine } from "./cli.js";
import { ask } from "./dialog.js";
import { button, pauseButton } from "./entry-actions.js";
import { go } from "./router.js";

const path = (name, verb) => `/api/schedules/${part(name)}/${verb}`;

/** scheduleActions are the buttons for a schedule; changed() is called after an action. */
export function scheduleActions(s, changed) {
  return [
    button("Run now…", () => runNow(s)),
    pauseButton("schedule", s, ["No runs are started until it is resumed. Runs under way go on.",
      "It starts runs again from its next instant on. Those that came meanwhile are not started; a backfill can do that."], changed),
    button("Backfill…", () => backfill(s, changed)),
  ];
}

function runNow(s) {
  const request = requestId();
  ask({
    title: `Run ${s.name} now`, label: "Run now", text: "A run is started at once, beside those that the schedule starts.",
    cli: () => commandLine("troupe", "schedule", "run", s.name),
    act: async () => {
      const { id } = await post(path(s.name, "run"), {}, { "Idempotency-Key": request });
      if (id) go(`/runs/${encodeURIComponent(id)}`);
      return "A run has begun.";
    },
  });
}

function backfill(s, changed) {
  const instant = (text) => (text ? new Date(text).toISOString() : "");
  ask({
    title: `Backfill ${s.name}`, label: "Backfill",
    text: "Runs are started for the instants of the schedule in a time that has passed, in their order, as the overlap policy allows. Times are those of your own clock.",
    fields: [
      { name: "from", label: "From", type: "datetime-local", required: true },
      { name: "to", label: "To", type: "datetime-local", required: true },
      { name: "max", label: "Runs at most", type: "number", min: 1, max: 10000, step: 1, value: 100, hint: "With more instants than that, nothing is begun." },
    ],
    cli: (v) => commandLine("troupe", "schedule", "backfill", s.name, "--from", instant(v.from) || "FROM", "--to", instant(v.to) || "TO", v.max && ["--max", v.max]),
    act: async (v) => {
      await post(path(s.name, "backfill"), { from: instant(v.from), to: instant(v.to), max: Number(v.max) || 100 });
      changed();
      return "The backfill has begun.";
    },
  });
}
