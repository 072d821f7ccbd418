/** The top of the page: what is wrong now, for whoever has ten seconds. */

import { attribute, byId, el, icon, keep, show, turn, write } from "./dom.js";

const ICONS = { bad: "down", warn: "warn", note: "out", good: "up" };

export class Headline {
  /**
   * @param {(zone: string, host: string) => void} go shows a host
   * @param {(text: string) => void} filter filters the hosts
   */
  constructor(go, filter) {
    this.go = go;
    this.filter = filter;
    this.kept = new Map();
  }

  draw(summary) {
    attribute(byId("headline"), "data-level", summary.level);
    attribute(byId("headline-icon"), "href", `#i-${ICONS[summary.level]}`);
    write(byId("headline-title"), summary.title);
    write(byId("headline-counts"), summary.counts);
    const wanted = summary.problems.map((one, at) => [one.host ? one.host.join("/") : `${at} ${one.filter ?? ""}`, one]);
    keep(byId("problems"), this.kept, wanted, (_, one) => this.make(one), (row, one) => this.change(row, one));
    show(byId("problems"), wanted.length > 0);
  }

  make(one) {
    const sign = icon(ICONS[one.level]);
    const text = el("span");
    const button = one.host || one.filter ? el("button", { type: "button", class: "link" }) : null;
    const row = { node: el("li", {}, sign, el("p", {}, button, text)), sign, text, button, one };
    button?.addEventListener("click", () => (row.one.host ? this.go(...row.one.host) : this.filter(row.one.filter)));
    return row;
  }

  change(row, one) {
    row.one = one;
    attribute(row.node, "data-level", one.level);
    turn(row.sign, ICONS[one.level]);
    if (row.button) write(row.button, one.host ? `${one.host[1]}.${one.host[0]}` : one.text);
    write(row.text, one.filter ? "" : one.text);
  }
}
