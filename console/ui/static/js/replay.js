// Before a version gets runs, stored ones are decided again by it: what would go
// another way is shown, and has to be agreed to.

import { h } from "./dom.js";
import { int, plural } from "./format.js";
import { post } from "./api.js";
import { command, commandLine } from "./cli.js";
import { runLink } from "./runs.js";

/** How many runs that go another way are shown. */
const SHOWN = 5;

const TONES = { differs: "bad", unknown: "warn" };

/**
 * replayed tries a version on the newest stored runs. The result is an element,
 * and whether all of them go the same way.
 */
export async function replayed(name, version) {
  const report = await post(`/api/workflows/${encodeURIComponent(name)}/replay`, { version });
  const other = report.runs.filter((r) => r.outcome !== "same");
  const line = command(commandLine("troupe", "workflow", "replay", name, "--version", version));
  if (report.runs.length === 0) return { fine: true, element: h("p", { class: "quiet-text" }, "No stored run has ended that version " + version + " could be tried on.") };
  if (other.length === 0) {
    return { fine: true, element: h("p", { "data-tone": "good" }, `Tried on ${plural(report.runs.length, "stored run")}: ${report.runs.length === 1 ? "it goes" : "all go"} the same way.`) };
  }
  return {
    fine: false,
    element: h("div", { class: "replay" },
      h("p", {}, `Tried on ${plural(report.runs.length, "stored run")}: ${int(report.same)} the same, `, h("b", { "data-tone": report.differs > 0 ? "bad" : null }, `${int(report.differs)} differ`), ", ",
        h("b", { "data-tone": report.unknown > 0 ? "warn" : null }, `${int(report.unknown)} unknown`), "."),
      h("ul", {}, other.slice(0, SHOWN).map((r) => h("li", {}, runLink(r.run_id), h("span", { "data-tone": TONES[r.outcome] }, ` ${r.outcome} `), h("span", { class: "faded" }, `at event ${int(r.event)}: `),
        h("span", {}, r.recorded || "nothing"), h("span", { class: "faded" }, "; now "), h("span", {}, r.replayed || "nothing")))),
      other.length > SHOWN ? h("p", { class: "quiet-text" }, `and ${plural(other.length - SHOWN, "other run")}:`) : null, line),
  };
}
