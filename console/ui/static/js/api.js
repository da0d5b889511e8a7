// The node's HTTP API: requests with problem+json errors, and the one stream
// of live snapshots.

/** ApiError is an answer of RFC 9457: what was wrong, and what to do about it. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.hint ? `${problem.detail} – ${problem.hint}` : problem.detail);
    this.status = status;
    this.detail = problem.detail;
    this.problems = problem.errors ?? []; // [{where, message, hint}], if it has several mistakes
  }
}

async function request(method, path, body, headers = {}, signal = undefined) {
  const init = { method, signal, headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch {
    signal?.throwIfAborted();
    throw new ApiError(0, { detail: "the node does not answer" });
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  let problem = { detail: `${response.status} ${response.statusText}` };
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) problem = await response.json();
  throw new ApiError(response.status, problem);
}

export const get = (path, signal) => request("GET", path, undefined, {}, signal);
export const post = (path, body, headers) => request("POST", path, body, headers);
export const put = (path, body, headers) => request("PUT", path, body, headers);
export const del = (path, headers) => request("DELETE", path, undefined, headers);

/** requestId names a request, so that it can be repeated without a second effect. */
export const requestId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

/** part encodes a name for use as a part of a URL path. The colon of what a workflow defines may stand there. */
export const part = (name) => encodeURIComponent(name).replaceAll("%3A", ":");

/** segment encodes a path of an actor for use inside a URL path. */
export const segment = (path) => path.split("/").map(encodeURIComponent).join("/");

/** A stream that was silent for longer than this is dead: the node beats every 5 s. */
const SILENCE_MS = 12_000;
const RETRY_MS = [500, 1000, 2000, 4000];

/**
 * Stream keeps one event stream open. It reconnects by itself, closes while
 * the page is hidden (browsers allow six connections per host), and calls
 * on[event](data) for each message and on.state("connecting" | "live" |
 * "reconnecting").
 */
export class Stream {
  #on;
  #source = null;
  #query = "";
  #watchdog = 0;
  #retry = 0;
  #attempt = 0;

  constructor(on) {
    this.#on = on;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#close();
      else this.#connect();
    });
  }

  /** open (re)opens the stream with the query, unless it is open with the same. */
  open(params) {
    const query = params.toString();
    if (this.#source && query === this.#query) return;
    this.#query = query;
    if (!document.hidden) this.#connect();
  }

  #connect() {
    this.#close();
    const source = new EventSource("/api/stream?" + this.#query);
    this.#source = source;
    for (const name of Object.keys(this.#on)) {
      if (name === "state") continue;
      source.addEventListener(name, (e) => {
        this.#alive();
        this.#on[name](JSON.parse(e.data), e.lastEventId);
      });
    }
    source.onopen = () => this.#alive();
    source.onerror = () => this.#again();
    this.#rest(() => this.#again());
  }

  #alive() {
    this.#attempt = 0;
    this.#on.state("live");
    this.#rest(() => this.#again());
  }

  #rest(expired) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(expired, SILENCE_MS);
  }

  #again() {
    this.#close();
    this.#on.state("reconnecting");
    const wait = RETRY_MS[Math.min(this.#attempt++, RETRY_MS.length - 1)];
    this.#retry = setTimeout(() => { if (!document.hidden) this.#connect(); }, wait);
  }

  #close() {
    clearTimeout(this.#watchdog);
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }
}
