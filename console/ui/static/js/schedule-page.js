// The page of one schedule: its next instants, its last runs, its settings.

import { h, setText } from "./dom.js";
import { part } from "./api.js";
import { int, moment, plural, words } from "./format.js";
import { commandLine, commands } from "./cli.js";
import { EntryPage, definedBy, pairs } from "./entry-page.js";
import { deleteButton } from "./entry-actions.js";
import { runLink } from "./runs.js";
import { scheduleActions } from "./schedule-actions.js";
import { rhythm } from "./schedules.js";
import { badge } from "./states.js";
import { bothZones, until } from "./zone.js";

const OVERLAP = {
  skip: "an instant that comes while a run is under way is skipped", queue: "it waits for the end of the run", allow: "runs may go beside each other",
  cancel_running: "the run under way is cancelled",
};

const OUTCOMES = { started: "good", skipped: "warn", missed: "warn", failed: "bad" };

export class SchedulePage extends EntryPage {
  constructor() {
    super({ kind: "schedule", events: ["runs", "schedules"] });
    this.next = h("ol", { class: "instants", "aria-label": "Next times" });
    this.settings = h("dl", { class: "pairs" });
    this.firings = h("tbody", {});
    this.firingsNote = h("p", { class: "empty" }, "No instant of it has come yet.");
    this.backfills = h("ul", { class: "waits", "aria-label": "Backfills", hidden: true });
    this.cli = h("div", { class: "page-cli" });
    this.card.append(this.backfills,
      h("div", { class: "halves" }, h("div", {}, h("h3", {}, "Next times"), this.next), h("div", {}, h("h3", {}, "Settings"), this.settings)), this.cli);
    this.fired = h("div", { class: "table-scroll" }, h("table", { class: "list", "aria-label": "Firings" },
      h("thead", {}, h("tr", {}, ["Instant", "Outcome", "Run", "Why"].map((t) => h("th", { scope: "col" }, t)))), this.firings));
    this.element.append(h("section", { class: "card" }, h("header", { class: "card-head" }, h("h2", {}, "What became of its instants")), this.firingsNote, this.fired));
  }

  draw(s, other) {
    const c = s.counts;
    this.facts.replaceChildren(h("span", {}, "starts ", h("a", { href: `/workflows/${part(s.workflow)}` }, s.workflow), s.version ? ` v${s.version}` : ""), h("span", {}, h("b", {}, rhythm(s))),
      h("span", {}, h("b", {}, int(c.fired)), " started"), h("span", {}, h("b", {}, int(c.skipped)), " skipped"), h("span", {}, h("b", {}, int(c.missed)), " missed"),
      h("span", { "data-tone": c.failed > 0 ? "bad" : null }, h("b", {}, int(c.failed)), " failed"));
    this.next.replaceChildren(...(s.paused ? [h("li", { class: "faded" }, "None: it is paused.")] : s.next?.length ? s.next.map((at) => h("li", {}, bothZones(at, s.time_zone || "UTC"), h("span", { class: "faded num" }, until(at)))) : [h("li", { class: "faded" }, s.delay && s.running?.length ? "When the run under way has ended." : "None any more.")]));
    this.backfills.hidden = !s.backfills?.length;
    this.backfills.replaceChildren(...(s.backfills ?? []).map((b) => h("li", {}, `Backfill from ${moment(b.from)} to ${moment(b.to)}: ${plural(b.left, "instant")} left`)));
    this.firingsNote.hidden = s.firings?.length > 0;
    this.fired.hidden = !this.firingsNote.hidden;
    this.firings.replaceChildren(...(s.firings ?? []).map((f) => h("tr", {},
      h("td", {}, bothZones(f.time, s.time_zone || "UTC")),
      h("td", {}, h("span", { "data-tone": OUTCOMES[f.outcome] }, f.outcome), f.count > 1 ? h("span", { class: "faded" }, ` ×${int(f.count)}`) : null),
      h("td", {}, f.run ? [runLink(f.run), " ", f.state ? badge(f.state) : null] : h("span", { class: "faded" }, "–")), h("td", { class: "clip", title: f.reason }, f.reason))));
    if (!other) return; // the rest does not change by itself
    this.state.replaceChildren(s.paused ? badge("paused") : "");
    this.actions.replaceChildren(...scheduleActions(s, () => this.ask()), s.defined ? "" : deleteButton("schedule", s, "It starts no more runs. Those under way go on."));
    pairs(this.settings, [
      ["Overlap", OVERLAP[s.overlap || "skip"] ?? s.overlap], ["Time zone", s.cron ? s.time_zone || "UTC" : ""], ["Catch-up", s.catch_up && words(s.catch_up)], ["Jitter", s.jitter && words(s.jitter)], ["Starts", s.start && moment(s.start)], ["Ends", s.end && moment(s.end)],
      ["Key", s.key], ["Inputs", Object.entries(s.inputs ?? {}).map(([k, v]) => `${k}=${v}`).join(", ")], ["Comment", s.comment], ["Defined", s.defined ? definedBy(s) : ""],
    ]);
    this.cli.replaceChildren(commands(commandLine("troupe", "schedule", "show", s.name), commandLine("troupe", "run", "list", "--trigger", `schedule/${s.name}`), ...(s.defined ? [] : [commandLine("troupe", "schedule", "delete", s.name)])));
  }

  missing(name) {
    setText(this.problem, `There is no schedule ${name}. It may have been deleted.`);
  }
}
