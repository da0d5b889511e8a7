// Which page is on display: the path of the address says so, its query holds
// what the page was asked for. So a page can be reloaded, bookmarked and sent.

import { byId, setAttr } from "./dom.js";

/**
 * A page has an element, a title, and
 *   show(params, query)   it is on display; called again when its address changes
 *   hide()                it is not any more (optional)
 * Params are the parts of the path that the pattern leaves open.
 */
const routes = [];
let shown = null; // {page, key}
let siteName = "Troupe";
let pageTitle = "";

/** route adds a page for a pattern such as "/runs/:id". make is called when it is first shown. */
export function route(pattern, make) {
  const names = [];
  const parts = pattern.split("/").map((part) => {
    if (!part.startsWith(":")) return part;
    names.push(part.slice(1));
    return "([^/]+)";
  });
  routes.push({ expression: new RegExp(`^${parts.join("/")}/?$`), names, make, page: null });
}

/** start shows the page of the present address; none(path) makes one for addresses that have none. */
export function start(none) {
  routes.push({ expression: /./, names: [], make: none, page: null });
  addEventListener("popstate", draw);
  document.addEventListener("click", (e) => {
    const a = e.target.closest?.("a[href]");
    if (!a || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    if (a.target || a.hasAttribute("download") || a.origin !== location.origin || a.pathname.startsWith("/api/") || a.getAttribute("href").startsWith("#")) return;
    e.preventDefault();
    go(a.pathname + a.search);
  });
  draw();
}

/** go shows another page, as a click on a link does. */
export function go(href) {
  history.pushState(null, "", href);
  draw();
  scrollTo(0, 0);
  byId("content").focus({ preventScroll: true });
}

/** setQuery changes the query of the address, without a step in the history of the browser. */
export function setQuery(params) {
  const query = params.toString();
  history.replaceState(null, "", location.pathname + (query && "?" + query));
}

/** site names the node in the title of the window. */
export function site(name) {
  siteName = name;
  title();
}

/** titled names the page in the title of the window. */
export function titled(name) {
  pageTitle = name;
  title();
}

function title() {
  const text = [pageTitle, siteName].filter(Boolean).join(" · ");
  if (document.title !== text) document.title = text;
}

function draw() {
  const found = routes.find((r) => r.expression.test(location.pathname));
  const params = {};
  found.expression.exec(location.pathname).slice(1).forEach((text, i) => { params[found.names[i]] = decode(text); });
  found.page ??= found.make();
  if (shown !== found.page) {
    if (shown) {
      shown.hide?.();
      shown.element.hidden = true;
    }
    shown = found.page;
    shown.element.hidden = false;
    const section = "/" + location.pathname.split("/")[1];
    for (const a of byId("pages").children) setAttr(a, "aria-current", a.getAttribute("href") === section ? "page" : null);
  }
  titled(shown.title ?? "");
  shown.show?.(params, new URLSearchParams(location.search));
}

/** A path that was not encoded well is shown as it is. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
