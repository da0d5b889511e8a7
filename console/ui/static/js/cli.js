// Every action has its form on the command line, to be copied.

import { h, icon, toast } from "./dom.js";

/** quoted is a word of a shell's command line. */
export const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** commandLine joins words, each quoted if need be; false, null and "" are left out. */
export const commandLine = (...words) => words.flat().filter(Boolean).map((w) => quoted(String(w))).join(" ");

/** copyButton copies what text() returns. */
export function copyButton(text) {
  return h("button", { type: "button", class: "quiet square copy", "aria-label": "Copy the command", title: "Copy", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text());
      toast("Copied.");
    } catch {
      toast("The browser does not allow copying; select the text instead.");
    }
  } }, icon("copy"));
}

/** command shows a command line with a button that copies it. */
export function command(text) {
  return h("div", { class: "command" }, h("code", { tabindex: "0" }, text), copyButton(() => text));
}

/** commands is a fold with several command lines. */
export function commands(...lines) {
  return h("details", { class: "cli" }, h("summary", {}, "Command line"), lines.flat().filter(Boolean).map(command));
}
