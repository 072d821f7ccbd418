/** Elements: made and changed with text that stays text, whatever is in it. */

/**
 * Make an element.
 * @param {string} tag its name
 * @param {object} [props] attributes; `class` and `on…` listeners among them, null leaves one out
 * @param {...(Node|string|null)} children what is in it; strings become text
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) if (child !== null) made.append(child);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Write text, and touch nothing where it is there already: a page of 500 hosts is mostly as it was. */
export function write(node, text) {
  const wanted = String(text);
  const only = node.firstChild;
  if (only && !only.nextSibling && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== wanted) only.data = wanted;
  } else if (only || wanted) node.textContent = wanted;
}

export function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/** Make an element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** An icon of the sheet in the page. */
export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": true }, svg("use", { href: `#i-${name}` }));

/** A table that scrolls by itself where it is too wide; rows are lists of cells, the first of them its head. */
export function table(caption, head, rows) {
  const cells = rows.map((row) => el("tr", row.mark ? { "data-mark": true } : {}, ...row.cells.map((cell, at) => (at ? el("td", {}, cell) : el("th", { scope: "row" }, cell)))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, ...cells)));
}

/** Make another icon of one. */
export function turn(shown, name) {
  attribute(shown.firstChild, "href", `#i-${name}`);
}

/**
 * Keep the children of a node in step with a list: those that stay are changed, never made again, so that
 * focus, selection and the place scrolled to stay where they are.
 * @param {Element} parent
 * @param {Map<string, object>} kept what is there, by key; each has a `node`
 * @param {Iterable<[string, *]>} wanted keys and data, in order
 * @param {(key: string, data: *) => object} make
 * @param {(one: object, data: *) => void} change
 */
export function keep(parent, kept, wanted, make, change) {
  const seen = new Set();
  let place = parent.firstElementChild;
  for (const [key, data] of wanted) {
    seen.add(key);
    let one = kept.get(key);
    if (!one) kept.set(key, (one = make(key, data)));
    if (one.node === place) place = place.nextElementSibling;
    else parent.insertBefore(one.node, place);
    change(one, data);
  }
  if (kept.size > seen.size) {
    for (const [key, one] of kept) {
      if (seen.has(key)) continue;
      one.node.remove();
      kept.delete(key);
    }
  }
}
