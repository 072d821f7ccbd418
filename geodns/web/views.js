/** Answers by view: the rules of a zone's names, since when each is in force, and what its pool deals. */

import { el, show, table, write } from "./dom.js";
import { clock, count, percent } from "./words.js";

const HEAD = ["Name", "Rule", "When", "Pool", "In force", "Shares"];
const SHOWN = 4; // hosts whose share is named

/** A moment of another day has its date. */
function since(text, now) {
  if (text === null) return "not now";
  const at = new Date(text);
  return `since ${at.toDateString() === new Date(now).toDateString() ? clock(at) : text.slice(0, 10)}`;
}

/** The family that the rule answers for; of MX and SRV whichever the pool has. */
function shares(pool, types) {
  const families = pool?.families ?? {};
  const share = (types.includes("AAAA") && !types.includes("A") ? families.AAAA : families.A?.share && Object.keys(families.A.share).length ? families.A : families.AAAA)?.share ?? {};
  const hosts = Object.entries(share).sort((one, other) => other[1] - one[1]);
  const more = hosts.length > SHOWN ? ` and ${count(hosts.length - SHOWN, "more", "more")}` : "";
  return hosts.length ? hosts.slice(0, SHOWN).map(([host, part]) => `${host} ${percent(part)}`).join(", ") + more : "nobody";
}

function rows(name, rules, pools, now) {
  const lists = new Set(rules.map((one) => `${one.types} ${one.preference}`));
  return rules.map((one) => {
    const of = lists.size > 1 ? ` ${one.types.join(" and ")}${one.preference === undefined ? "" : ` ${one.preference}`}` : "";
    return { cells: [`${name.replace(/\.$/, "")}${of}`, String(one.rule), one.when || "all others", one.pool, since(one.since, now), shares(pools[one.pool], one.types)] };
  });
}

export class Views {
  constructor(zone) {
    this.zone = zone;
    this.title = el("summary");
    this.body = el("div");
    this.node = el("details", { class: "views", hidden: true }, this.title, this.body);
    this.drawn = "";
  }

  /** Draw the rules of the zone's names; undefined: it has none. */
  draw(names, pools, now) {
    const known = Object.entries(names ?? {});
    show(this.node, known.length > 0);
    const shown = known.flatMap(([name, rules]) => rows(name, rules, pools, now));
    const text = JSON.stringify(shown);
    if (text === this.drawn) return;
    this.drawn = text;
    write(this.title, `Answers by view of ${known.length === 1 ? known[0][0].replace(/\.$/, "") : count(known.length, "name")}`);
    this.body.replaceChildren(table(`Rules in ${this.zone}: the first that a client meets says its pool`, HEAD, shown));
  }
}
