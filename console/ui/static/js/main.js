// Wires the sections to the stream and to each other.

import { byId, h, toast } from "./dom.js";
import { Stream, post, segment } from "./api.js";
import { Header } from "./header.js";
import { Tree } from "./tree.js";
import { Run } from "./run.js";
import { RunPage } from "./run-page.js";
import { RunsPage } from "./runs.js";
import { Result, resultCard } from "./result.js";
import { Events } from "./events.js";
import { Letters } from "./letters.js";
import { Queues } from "./queues.js";
import { SchedulePage } from "./schedule-page.js";
import { ScheduleForm } from "./schedule-form.js";
import { schedulesPage } from "./schedules.js";
import { TriggerPage } from "./trigger-page.js";
import { triggersPage } from "./triggers.js";
import { WorkflowPage } from "./workflow-page.js";
import { workflowsPage } from "./workflows.js";
import { watchEdges } from "./scroll-edge.js";
import { tell } from "./live.js";
import { go, route, start } from "./router.js";

/** What the page asks of the stream: a run that was picked, parents of which more is shown. */
const wanted = { run: "", page: "", more: new Map() };
let command = "";

function query() {
  const q = new URLSearchParams();
  const id = wanted.page || wanted.run;
  if (id) q.set("run", id);
  for (const [path, count] of wanted.more) q.append("more", `${count}:${path}`);
  return q;
}

const header = new Header();
const tree = new Tree({
  onLimits: (limits) => {
    wanted.more = limits;
    stream.open(query());
  },
  command: (path) => command.replaceAll("{origin}", location.origin).replaceAll("{path}", segment(path)),
});
const showActor = (path) => {
  if (location.pathname !== "/") go("/");
  tree.select(path);
};
const run = new Run({
  onPick: (id) => {
    wanted.run = id;
    stream.open(query());
  },
  onActor: showActor,
});
const copyOfResult = resultCard();
const result = new Result(byId("result"));
const events = new Events(showActor);
const letters = new Letters();
const queues = new Queues({ onLetters: (queue) => letters.only(queue), onActor: showActor });

/** mail shows the durable part of the node, from when there is one. */
function mail(overview) {
  for (const id of ["queues", "letters", "mail-link"]) byId(id).hidden = false;
  byId("mail-none").hidden = true;
  queues.update(overview);
  letters.update(overview);
}

/** actions makes a button for everything that the node lets a person do to an actor. */
function actions(list) {
  const holder = byId("actions");
  const key = JSON.stringify(list);
  if (holder.dataset.shown === key) return;
  holder.dataset.shown = key;
  holder.replaceChildren(...list.map((a) => {
    const button = h("button", { type: "button", title: a.title || null, onclick: () => act(a, button) }, a.label);
    return button;
  }));
}

/** A node that was updated while the page was open has another page: load it, once. */
function reloadIfOutdated(version) {
  if (import.meta.url.includes(`/${version}/`)) return;
  try {
    if (sessionStorage.getItem("troupe-reloaded") === version) return;
    sessionStorage.setItem("troupe-reloaded", version);
  } catch {
    return; // without storage there is no telling whether a reload has helped
  }
  location.reload();
}

async function act(action, button) {
  button.disabled = true;
  try {
    await post(`/api/actors${segment(action.path)}:${action.verb}`);
  } catch (err) {
    toast(`${action.label}: ${err.message}`);
  } finally {
    button.disabled = false;
    button.focus();
  }
}

const stream = new Stream({
  state: (state) => header.connection(state),
  beat: () => {},
  node: (node) => {
    reloadIfOutdated(node.page);
    command = node.command;
    header.update(node);
    actions(node.actions);
  },
  tree: (snapshot) => tree.update(snapshot),
  runs: (list) => {
    byId("result").hidden = list.runs.length === 0; // nothing to show beside the tree
    run.list(list);
    tell("runs", list);
  },
  workflows: (list) => tell("workflows", list),
  schedules: (changes) => tell("schedules", changes),
  run: (view) => {
    tell("run", view);
    if (wanted.page) return; // the page of a run asked for it, not the node's
    run.update(view);
    result.update(view.run);
  },
  events: (batch) => events.update(batch),
  mail,
});
/** plain is a page that stands in index.html. */
const plain = (id, title) => () => ({ element: byId(id), title });

/** mounted puts a page that makes its own elements into the document. */
function mounted(page) {
  page.element.hidden = true;
  page.element.querySelectorAll(".scroll-edge").forEach(watchEdges);
  byId("content").append(page.element);
  return page;
}

route("/", plain("overview", ""));
route("/letters", plain("mail", "Letters"));
route("/workflows", () => mounted(workflowsPage()));
route("/workflows/:name", () => mounted(new WorkflowPage()));
route("/schedules", () => mounted(schedulesPage()));
route("/new-schedule", () => mounted(new ScheduleForm()));
route("/triggers", () => mounted(triggersPage()));
route("/triggers/:name", () => mounted(new TriggerPage()));
route("/schedules/:name", () => mounted(new SchedulePage()));
route("/runs", () => mounted(new RunsPage()));
route("/runs/:id", () => mounted(new RunPage({
  card: copyOfResult, onActor: showActor,
  watch: (id) => {
    wanted.page = id;
    stream.open(query());
  },
})));
document.querySelectorAll(".scroll-edge").forEach(watchEdges);
start(plain("lost", "No such page"));
stream.open(query());
