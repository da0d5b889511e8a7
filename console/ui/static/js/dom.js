// Small helpers over the DOM. All text goes in as text nodes: nothing that a
// message or an actor's name contains is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** byId returns the element of index.html with that id. */
export const byId = (id) => document.getElementById(id);

/**
 * h makes an HTML element. Attributes that start with "on" are listeners,
 * "style" is a map of CSS properties; null and false are left out.
 */
export function h(tag, attrs = {}, ...children) {
  return fill(document.createElement(tag), attrs, children);
}

/** s makes an SVG element, with the same rules as h. */
export function s(tag, attrs = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attrs, children);
}

function fill(el, attrs, children) {
  for (const [name, value] of Object.entries(attrs)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) el.style.setProperty(k, v);
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

/** icon makes the use of a symbol of index.html. */
export function icon(name, cls = "icon") {
  return s("svg", { class: cls, "aria-hidden": "true" }, s("use", { href: "#i-" + name }));
}

/** setIcon changes the symbol of an icon. */
export function setIcon(svg, name) {
  setAttr(svg.firstElementChild, "href", "#i-" + name);
}

/** setText changes an element's text only if it differs: no layout, no selection lost. */
export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

/** setAttr changes or, with null, removes an attribute only if it differs. */
export function setAttr(el, name, value) {
  if (value === null || value === undefined || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== String(value)) {
    el.setAttribute(name, value);
  }
}

/**
 * reconcile makes the children of parent match items, by key, moving and
 * creating as few elements as possible. make(item) returns an element,
 * update(element, item) brings it up to date. Keys are unique strings.
 */
export function reconcile(parent, items, key, make, update) {
  const have = new Map();
  for (const el of parent.children) have.set(el.key, el);
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    let el = have.get(k);
    if (el) {
      have.delete(k);
    } else {
      el = make(item);
      el.key = k;
      el.dataset.key = k;
    }
    update(el, item);
    if (el === at) at = at.nextElementSibling;
    else parent.insertBefore(el, at);
  }
  for (const el of have.values()) el.remove();
}

let toastTimer = 0;

/** toast shows a line at the foot of the page for a moment and reads it out. */
export function toast(text) {
  const el = byId("toast");
  el.textContent = text;
  el.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { el.hidden = true; }, 5000);
}
