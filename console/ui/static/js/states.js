// How the states of runs and of their nodes look.

import { h, icon, setAttr, setIcon, setText } from "./dom.js";

const STATES = {
  pending: ["ring", "idle"],
  running: ["arc", "active"],
  waiting: ["clock", "warn"],
  paused: ["pause", "warn"],
  stopping: ["arc", "warn"],
  completed: ["check", "good"],
  failed: ["cross", "bad"],
  cancelled: ["slash", "idle"],
  skipped: ["slash", "idle"],
};

/** RUN_STATES are those that a list of runs can be filtered by. */
export const RUN_STATES = ["running", "paused", "stopping", "completed", "failed", "cancelled"];

/** look is the symbol and the tone of a state. */
export const look = (state) => STATES[state] ?? ["ring", "idle"];

/** final reports whether a run or a node in that state has ended. */
export const final = (state) => state === "completed" || state === "failed" || state === "cancelled";

/** badge shows a state; setBadge changes it. */
export function badge(state = "") {
  const el = h("span", { class: "badge state-badge" }, icon("ring"), h("span", {}));
  if (state) setBadge(el, state);
  return el;
}

export function setBadge(el, state) {
  const [glyph, tone] = look(state);
  setAttr(el, "data-tone", tone);
  setAttr(el, "data-state", state);
  setIcon(el.firstElementChild, glyph);
  setText(el.lastElementChild, state);
}
