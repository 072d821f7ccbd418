/** Pools: who is dealt, and what part each host has, as bars. */

import { attribute, el, icon, keep, show, turn, write } from "./dom.js";
import { instead, resort } from "./summary.js";
import { count, list, percent, whole } from "./words.js";

const ALL = 10; // hosts that are shown one by one
const FIRST = 8; // where there are more, these
const SCALES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]; // what a full bar is, where no part is larger

/** Families that are dealt alike are one list of bars. */
function groups(families) {
  const some = Object.entries(families).filter(([, { share }]) => Object.keys(share).length);
  const same = some.length === 2 && alike(some[0][1].share, some[1][1].share);
  if (same) return [["A and AAAA", some[0][1].share]];
  return some.map(([family, { share }]) => [family, share]);
}

function alike(one, other) {
  const hosts = Object.keys(one);
  return hosts.length === Object.keys(other).length && hosts.every((host) => Math.abs(one[host] - other[host]) < 0.0005);
}

function bars(share) {
  const hosts = Object.entries(share);
  if (hosts.length <= ALL) return hosts.map(([host, part]) => [host, { host, part, rest: false }]);
  const first = [...hosts].sort((one, other) => other[1] - one[1]).slice(0, FIRST);
  const part = 1 - first.reduce((sum, [, one]) => sum + one, 0);
  const rest = { host: `${whole(hosts.length - FIRST)} more`, part: Math.max(0, part), rest: true };
  return [...first.map(([host, one]) => [host, { host, part: one, rest: false }]), ["", rest]];
}

class Bars {
  constructor(family) {
    this.list = el("ul", { class: "bars" });
    this.node = el("div", {}, el("h5", {}, family), this.list);
    this.kept = new Map();
  }

  draw(share) {
    const wanted = bars(share);
    const most = Math.max(...wanted.filter(([, one]) => !one.rest).map(([, one]) => one.part));
    const scale = SCALES.find((one) => one >= most - 1e-9) ?? 1;
    keep(this.list, this.kept, wanted, () => this.make(), (row, one) => this.change(row, one, scale));
  }

  make() {
    const name = el("span", { class: "name" });
    const fill = el("span");
    const part = el("span", { class: "part" });
    return { node: el("li", {}, name, el("span", { class: "bar", "aria-hidden": true }, fill), part), name, fill, part };
  }

  change(row, one, scale) {
    write(row.name, one.host);
    write(row.part, percent(one.part));
    attribute(row.node, "class", one.rest ? "rest" : null);
    const width = one.rest ? "100%" : `${((one.part / scale) * 100).toFixed(2)}%`;
    if (row.fill.style.width !== width) row.fill.style.width = width;
  }
}

class Pool {
  constructor(name) {
    this.badge = el("span", { class: "badge" });
    this.sign = icon("up");
    this.facts = el("p", { class: "quiet" });
    this.alarm = el("p", { class: "alarm" });
    this.families = el("div", { class: "families" });
    this.node = el("div", { class: "pool" }, el("h4", {}, this.sign, el("span", {}, el("span", { class: "unseen" }, "Pool "), name), this.badge), this.facts, this.alarm, this.families);
    this.kept = new Map();
    this.name = name;
  }

  draw(pool) {
    const others = instead(this.name, pool);
    const level = pool.last_resort ? "bad" : others.length || pool.prober_suspect ? "warn" : "good";
    attribute(this.node, "data-level", level);
    turn(this.sign, { bad: "down", warn: "warn", good: "up" }[level]);
    write(this.badge, pool.last_resort ? "last resort" : others.length ? "fallback" : "");
    const ttl = pool.ttl < pool.max_ttl ? `TTL ${pool.ttl} s, lowered from ${pool.max_ttl} s` : `TTL ${pool.ttl} s`;
    write(this.facts, `${pool.live.length} live · ${count(pool.answers, "address", "addresses")} an answer · ${ttl}${pool.checks.length ? "" : " · unchecked"}`);
    const alarms = others.map((one) => (one.resort ? resort(one.resort) : `${list(one.helpers)} ${one.word}`) + one.on);
    if (pool.prober_suspect) alarms.push("the prober itself may be cut off");
    write(this.alarm, alarms.join("; "));
    show(this.alarm, alarms.length > 0);
    keep(this.families, this.kept, groups(pool.families), (family) => new Bars(family), (one, share) => one.draw(share));
  }
}

/** The pools of one zone. */
export class Pools {
  constructor() {
    this.node = el("div", { class: "pools" });
    this.kept = new Map();
  }

  draw(pools) {
    keep(this.node, this.kept, Object.entries(pools), (name) => new Pool(name), (one, pool) => one.draw(pool));
  }
}
