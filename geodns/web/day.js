/** The last hours of a zone's hosts, as plots that are asked for when somebody opens them. */

import { read, trouble } from "./api.js";
import { el, show, write } from "./dom.js";
import { SPANS, begin, legend, most, plot } from "./plot.js";
import { whole } from "./words.js";

const MOST = 24; // plots at once: more are not looked at, and cost the server
const EVERY = 300000; // ms
const REST = 400; // ms after the filter was changed

/** Read the last hours of some hosts; returns [columns by host, the server's time in seconds]. */
export async function day(zone, hosts, span) {
  const query = new URLSearchParams([["zone", zone], ["since", span], ["step", `${SPANS[span][1] / 60}m`], ...hosts.map((host) => ["host", host])]);
  const [history, now] = await read(`api/v1/history?${query}`);
  return [history.hosts, now / 1000];
}

/** A choice of how far back plots go; its `span` is what is chosen. */
export function spans(changed) {
  const options = Object.keys(SPANS).map((span) => el("option", { value: span, selected: span === "24h" }, `the last ${span.replace("h", " h")}`));
  const select = el("select", { "aria-label": "How far back", onchange: () => changed(select.value) }, ...options);
  const node = el("p", { class: "spans" }, select);
  Object.defineProperty(node, "span", { get: () => select.value });
  return node;
}

export class Day {
  /**
   * @param {string} zone
   * @param {() => string[]} shown returns the hosts that the filter leaves
   */
  constructor(zone, shown) {
    this.zone = zone;
    this.shown = shown;
    this.asked = [];
    this.plots = el("div", { class: "plots" });
    this.span = spans(() => this.draw());
    this.error = el("p", { class: "error", hidden: true });
    this.left = el("p", { class: "quiet", hidden: true });
    this.node = el("details", { class: "day", ontoggle: () => this.turned() }, el("summary", {}, "The last hours"), this.span, legend(), this.error, this.plots, this.left);
    this.timer = null;
  }

  turned() {
    clearTimeout(this.timer);
    if (this.node.open) this.draw();
  }

  /** The filter was changed: other hosts may be wanted. */
  filtered() {
    if (!this.node.open || this.shown().slice(0, MOST).join() === this.asked.join()) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.draw(), REST);
  }

  async draw() {
    const hosts = this.shown();
    const asked = (this.asked = hosts.slice(0, MOST));
    const { span } = this.span;
    try {
      const [points, now] = asked.length ? await day(this.zone, asked, span) : [{}, 0];
      if (asked !== this.asked || span !== this.span.span) return; // others are wanted meanwhile
      const scale = Math.max(0, ...Object.values(points).map(most));
      const since = Math.min(...Object.values(points).map(begin));
      this.plots.replaceChildren(...asked.map((host) => plot(host, points[host], now, { span, scale, since })));
      show(this.error, false);
    } catch (error) {
      write(this.error, trouble(error));
      show(this.error, true);
    }
    write(this.left, hosts.length > asked.length ? `The first ${MOST} of ${whole(hosts.length)} hosts: the filter chooses others.` : "");
    show(this.left, hosts.length > asked.length);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.again(), EVERY);
  }

  again() {
    if (!this.node.open || !this.node.isConnected) return;
    if (document.hidden) this.timer = setTimeout(() => this.again(), EVERY);
    else this.draw();
  }
}
