/** Routes of a zone: the rules by which messages leave, and what each answered in the last hour. */

import { el, show, table, write } from "./dom.js";
import { clock, count, list, whole } from "./words.js";

export const MOST = 200; // rules that are shown: those that answered most
const HEAD = ["Rule", "When", "Use", "Look-ups", "Last"];
const HOSTS = ["Host", "Look-ups", "By provider"];
const OUTCOMES = {
  none: "no rule fitted",
  local: "local recipients",
  stopped: "a rule asks what the map does not tell",
  later: "no host but the one that asked",
};
const sum = (numbers) => Object.values(numbers).reduce((all, one) => all + one, 0);

/** A name of the zone as its file writes it. */
function own(name, zone) {
  return name === zone ? "@" : name.endsWith(`.${zone}`) ? name.slice(0, -zone.length - 1) : name;
}

function use({ use: name, port, deal }, zone) {
  return `${own(name, zone)}${port === 25 ? "" : `:${port}`}${deal === "host" ? ", by host" : ""}`;
}

function when(conditions) {
  return Object.entries(conditions).map(([name, want]) => `${name} ${want}`).join("; ") || "every message";
}

function others(unmatched) {
  const words = Object.entries(unmatched).map(([outcome, numbers]) => `${OUTCOMES[outcome] ?? outcome} ${whole(sum(numbers))}`);
  return words.length ? `Not by a rule: ${words.join(", ")}.` : "";
}

function hosts(lookedUp) {
  const rows = Object.entries(lookedUp).map(([host, numbers]) => ({ cells: [
    host, whole(sum(numbers)), list(Object.entries(numbers).sort((one, other) => other[1] - one[1]).map(([name, number]) => `${name || "not known"} ${whole(number)}`)),
  ] }));
  return rows.length ? table("Hosts that answers named; an MTA asks for a message several times", HOSTS, rows) : null;
}

export class Routes {
  constructor(zone) {
    this.zone = zone;
    this.title = el("summary");
    this.body = el("div");
    this.node = el("details", { class: "routes", hidden: true }, this.title, this.body);
    this.drawn = "";
  }

  /** Draw what the server says of the zone's routes; undefined: it has none. */
  draw(routes, answering) {
    show(this.node, routes !== undefined);
    const text = JSON.stringify([routes, answering]);
    if (routes === undefined || text === this.drawn) return;
    this.drawn = text;
    const { rules, left, unused, unmatched, looked_up: lookedUp } = routes;
    write(this.title, `${count(rules.length + left, "route")}${answering && unused ? `, ${unused} not used in the last hour` : ""}`);
    const rows = rules.map((one) => ({ cells: [
      String(one.rule), when(one.when), use(one, this.zone), whole(one.matched), one.last ? clock(new Date(one.last), new Date(), { seconds: false }) : "never",
    ] }));
    const rest = others(unmatched);
    this.body.replaceChildren(
      ...[
        table(`Rules of ${this.zone} and their look-ups of the last hour: the first that fits a message says where it leaves`, HEAD, rows),
        left ? el("p", { class: "quiet" }, `These are used most; ${count(left, "more is", "more are")} shown by “geodns routes”.`) : null,
        answering ? null : el("p", { class: "quiet" }, "Nobody answers MTAs: “routes_listen” of the server's settings is empty."),
        rest ? el("p", { class: "quiet" }, rest) : null,
        hosts(lookedUp),
      ].filter(Boolean));
  }
}
