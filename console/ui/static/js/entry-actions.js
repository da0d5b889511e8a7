// What is done to schedules and triggers alike. An entry is either of them.

import { h } from "./dom.js";
import { del, part, post } from "./api.js";
import { commandLine } from "./cli.js";
import { ask } from "./dialog.js";
import { go } from "./router.js";

/** button is one that opens a dialog. */
export const button = (label, act, attrs = {}) => h("button", { type: "button", onclick: act, ...attrs }, label);

/** pauseButton begins or ends a pause; texts are [of a pause, of its end]. */
export function pauseButton(kind, entry, texts, changed) {
  const verb = entry.paused ? "resume" : "pause";
  const label = entry.paused ? "Resume" : "Pause";
  return button(`${label}…`, () => ask({
    title: `${label} ${entry.name}`, label, text: texts[entry.paused ? 1 : 0],
    fields: [{ name: "comment", label: "Comment", placeholder: "optional", value: "" }],
    cli: ({ comment }) => commandLine("troupe", kind, verb, entry.name, comment && ["--comment", comment]),
    act: async ({ comment }) => {
      await post(`/api/${kind}s/${part(entry.name)}/${verb}`, comment ? { comment } : {});
      changed();
      return entry.paused ? `${entry.name} goes on.` : `${entry.name} is paused.`;
    },
  }));
}

/** deleteButton removes an entry, and shows the list of the others then. */
export function deleteButton(kind, entry, text) {
  return button("Delete…", () => ask({
    title: `Delete ${entry.name}`, label: "Delete", danger: true, text,
    cli: () => commandLine("troupe", kind, "delete", entry.name),
    act: async () => {
      await del(`/api/${kind}s/${part(entry.name)}`);
      go(`/${kind}s`);
      return `${entry.name} is deleted.`;
    },
  }), { class: "danger" });
}
