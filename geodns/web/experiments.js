/** Experiments of a zone: each arm with its share, what it was dealt and how its mail fares, and the verdict. */

import { el, show, table, write } from "./dom.js";
import { clock, count, duration, percent, whole } from "./words.js";

const HEAD = ["Arm", "Pool", "Share", "Realised", "Queries", "Failovers", "Networks"];
const moment = (text) => clock(new Date(text), new Date(), { seconds: false });
const points = (part) => `${part > 0 ? "+" : ""}${(100 * part).toFixed(2)}`;

/** A rate and its interval. */
function rate({ value, low, high, n }) {
  if (!n) return "–";
  return low === null ? percent(value) : `${percent(value)} (${percent(low)} to ${percent(high)})`;
}

/** By how much an arm's rate is above the first arm's. */
function difference({ metric, arm, against, difference: by, low, high }) {
  const said = by === null ? "no mail yet" : `${points(by)} points${low === null ? "" : ` (${points(low)} to ${points(high)})`}`;
  return `${metric}, ${arm} against ${against}: ${said}`;
}

/** The metrics of which something is known, the primary first. */
function metrics({ arms, verdict }) {
  const known = Object.values(arms).flatMap(({ rates }) => Object.keys(rates).filter((name) => rates[name].value > 0));
  return [...new Set([verdict.metric, ...known])];
}

function drawn(name, one) {
  const shown = metrics(one);
  const rows = Object.entries(one.arms).map(([arm, its]) => ({ cells: [
    arm, its.pool, percent(its.share), percent(its.realised), whole(its.queries), whole(its.failovers),
    `${whole(its.networks)}, effective ${its.effective_networks}`, ...shown.map((metric) => rate(its.rates[metric])),
  ] }));
  const late = Object.values(one.arms).reduce((all, its) => all + its.undated, 0);
  return el("section", { "aria-label": `experiment ${name}` },
    table(`${name} at ${one.name}, by ${one.by}, epoch ${one.epoch} since ${moment(one.since)}`, [...HEAD, ...shown], rows),
    el("p", {}, el("b", {}, one.verdict.enough ? "Enough" : "Not enough"), `: ${one.verdict.why}. `, difference(one.verdict)),
    ...one.others.filter((other) => other.difference).map((other) => el("p", { class: "quiet" }, difference(other))),
    one.left_out_s ? el("p", { class: "quiet" }, `${duration(one.left_out_s)} are left out: an arm was on a fallback, or the control process was away`) : null,
    late ? el("p", { class: "quiet" }, `${count(late, "event")} of mail that came in nobody knows when`) : null);
}

export class Experiments {
  constructor() {
    this.title = el("summary");
    this.body = el("div");
    this.node = el("details", { class: "experiments", hidden: true }, this.title, this.body);
    this.drawn = "";
  }

  /** Draw what the server says of the zone; undefined: it holds none. */
  draw(held) {
    const all = Object.entries(held ?? {});
    show(this.node, all.length > 0);
    const text = JSON.stringify(all);
    if (text === this.drawn) return;
    this.drawn = text;
    const enough = all.filter(([, one]) => one.verdict.enough).length;
    write(this.title, `${all.length === 1 ? `Experiment ${all[0][0]}` : `${all.length} experiments`}${enough ? `, ${enough === all.length ? "" : `${enough} with `}enough for a verdict` : ""}`);
    this.body.replaceChildren(...all.map(([name, one]) => drawn(name, one)));
  }
}
