/** Reputation of a zone's hosts: what became of their mail, what stands against them, and overruling that. */

import { el, show, svg, table, write } from "./dom.js";
import { clock, count, list, percent, whole } from "./words.js";

const SPANS = { "1h": "the last hour", "1d": "the last day", "7d": "the last 7 days" };
const EVENTS = ["delivered", "deferred", "bounced", "complaint"];
const MAIL = ["First attempts", "Delivered", "Deferred", "Bounced", "Complaints"];
const MOST = 24; // hosts that have a plot

const WIDTH = 320;
const HEIGHT = 96;
const LEFT = 52; // what is left of it is for the scale
const TOP = 10;
const BOTTOM = 76;

const moment = (text) => clock(new Date(text), new Date(), { seconds: false });
const part = (number, of) => (of ? `${whole(number)} (${percent(number / of)})` : whole(number));
const delay = (seconds) => (seconds === null ? "–" : seconds < 120 ? `${+seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`);
const mail = (one) => [whole(one.first), ...EVENTS.map((event) => part(one[event], one.first))];
const NONE = { first: 0, delivered: 0, deferred: 0, bounced: 0, complaint: 0, delay_p50_s: null, delay_p95_s: null };

/** The block lists that have one of a host's addresses, each once. */
const listed = (host) => [...new Set(Object.values(host.egress).flatMap((one) => one.listed.map((each) => each.list)))];

/** What reputation leaves of a host's weight, in words. */
function left(host, acting) {
  if (host.actions.some((one) => one.action === "quarantine" && one.in_force && one.ended === null)) return "in quarantine";
  return acting || host.factor === 1 ? percent(host.factor) : `100 %; would be ${percent(host.factor)}`;
}

/** Until when something stands. */
function ends(one) {
  if (one.ended !== null) return `given back since ${moment(one.ended)}`;
  return one.until === null ? "while it lasts" : moment(one.until);
}

/** Mail of the last 24 hours as bars: first attempts, and from the ground those that were refused. */
function plot(name, { first, refused, since }) {
  const most = Math.max(...first, 1);
  const wide = (WIDTH - LEFT) / first.length;
  const bar = (kind, number, at) => {
    const high = (Math.min(number, most) / most) * (BOTTOM - TOP);
    return svg("rect", { class: kind, x: (LEFT + at * wide + 1).toFixed(1), y: (BOTTOM - high).toFixed(1), width: (wide - 1.5).toFixed(1), height: high.toFixed(1) });
  };
  const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": true },
    ...first.map((number, at) => bar("first", number, at)),
    ...refused.map((number, at) => bar("refused", number, at)),
    svg("path", { class: "axis", d: `M${LEFT} ${TOP}V${BOTTOM}H${WIDTH}` }),
    svg("text", { x: LEFT - 4, y: TOP + 4, "text-anchor": "end" }, whole(most)),
    svg("text", { x: LEFT, y: HEIGHT - 6 }, moment(since).slice(-5)),
    svg("text", { x: WIDTH - 4, y: HEIGHT - 6, "text-anchor": "end" }, "now"));
  const said = sum(first) ? `${whole(sum(first))} first attempts in 24 h, ${part(sum(refused), sum(first))} refused` : "no mail in 24 h";
  return [el("figcaption", {}, el("b", {}, name), " ", el("span", { class: "quiet" }, said)), drawn];
}

export class Reputation {
  /**
   * @param {string} zone
   * @param {() => string[]} shown returns the hosts that the filter leaves
   * @param {OverruleDialog} overrule
   */
  constructor(zone, shown, overrule) {
    this.zone = zone;
    this.shown = shown;
    this.overrule = overrule;
    this.title = el("summary");
    this.body = el("div");
    const options = Object.entries(SPANS).map(([span, text]) => el("option", { value: span, selected: span === "1d" }, text));
    this.span = el("select", { "aria-label": "Mail of", onchange: () => this.redraw() }, ...options);
    this.node = el("details", { class: "reputation", hidden: true, ontoggle: () => this.redraw() }, this.title, el("p", { class: "spans" }, this.span), this.body);
    this.opened = new Set(); // hosts whose providers somebody looks at
    this.about = null;
    this.drawn = "";
  }

  /** Draw what the server says of the zone; undefined: it is not judged. */
  draw(about, lists, unknown) {
    this.about = about ? { ...about, known: about.lists.map((name) => [name, lists[name]]), unknown } : null;
    show(this.node, this.about !== null);
    if (!this.about) return;
    const hosts = Object.values(about.hosts);
    const hit = hosts.filter((one) => one.actions.some((each) => each.action !== "alert" && each.ended === null)).length;
    const bad = this.about.known.filter(([, one]) => !one.ok && one.at !== null).length;
    write(this.title, [
      `Reputation, mode ${about.mode}`,
      ...(hit ? [`${count(hit, "host")} ${about.mode === "act" ? (hit === 1 ? "loses" : "lose") : "would lose"} mail`] : []),
      ...(Object.keys(about.common).length ? ["one cause for many"] : []),
      ...(bad ? [`${count(bad, "list")} not believed`] : []),
    ].join(", "));
    this.redraw();
  }

  /** The filter was changed, or the span, or what is known. */
  redraw() {
    if (!this.node.open || !this.about) return;
    const names = this.shown().filter((name) => name in this.about.hosts);
    const text = JSON.stringify([this.about, names, this.span.value]);
    if (text === this.drawn) return;
    this.drawn = text;
    const focus = this.body.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
    const scrolled = new Map([...this.body.querySelectorAll(".scroll")].map((one) => [one.ariaLabel, one.scrollLeft]));
    this.body.replaceChildren(...this.parts(names).filter((one) => one !== null));
    for (const one of this.body.querySelectorAll("[aria-label]")) {
      if (scrolled.get(one.ariaLabel)) one.scrollLeft = scrolled.get(one.ariaLabel);
      if (focus !== null && one.ariaLabel === focus) one.focus({ preventScroll: true });
    }
  }

  parts(names) {
    const hosts = names.map((name) => [name, this.about.hosts[name]]);
    const plotted = hosts.slice(0, MOST);
    return [
      this.mode(),
      ...Object.entries(this.about.common).map(([cause, some]) => el("p", { class: "alarm" }, `${cause} hits ${list(some)} at once: nobody is taken out for it.`)),
      this.hosts(hosts),
      this.actions(hosts),
      this.ignored(),
      this.lists(),
      this.unknown(),
      plotted.length ? el("p", { class: "legend quiet" }, el("span", {}, el("i", { class: "key first", "aria-hidden": true }), "first attempts"), el("span", {}, el("i", { class: "key refused", "aria-hidden": true }), "refused, from the ground")) : null,
      el("div", { class: "plots" }, ...plotted.map(([name, host]) => this.card(name, host))),
      hosts.length > MOST ? el("p", { class: "quiet" }, `The first ${MOST} of ${whole(hosts.length)} hosts: the filter chooses others.`) : null,
    ];
  }

  button(text, label, pressed) {
    return el("button", { type: "button", "aria-label": label, onclick: pressed }, text);
  }

  mode() {
    const { mode, mode_until: until } = this.about;
    const does = mode === "act" ? "What stands against a host takes effect." : "Nothing takes effect: this shows what would.";
    const ordered = until ? ` By an order until ${moment(until)}, then as the zone file says.` : "";
    const other = mode === "act" ? "observe" : "act";
    return el("p", { class: "with-button" }, el("span", {}, el("b", {}, `Mode ${mode}. `), `${does}${ordered}`),
      this.button(mode === "act" ? "Only observe…" : "Act…", `${mode === "act" ? "Only observe" : "Act"} in ${this.zone}`, () => this.overrule.mode(this.zone, other)),
      until ? this.button("End the order…", `End the order of mode in ${this.zone}`, () => this.overrule.mode(this.zone, mode, true)) : null);
  }

  hosts(hosts) {
    const acting = this.about.mode === "act";
    const span = this.span.value;
    const rows = hosts.map(([name, host]) => ({ cells: [
      name,
      left(host, acting),
      list(listed(host)) || "–",
      Object.entries(host.barred).map(([provider, until]) => `${provider} until ${moment(until)}`).join(", ") || "–",
      ...mail(host.totals[span] ?? NONE),
      this.button("Ignore…", `Ignore reputation of ${name} of ${this.zone}`, () => this.ignore(name, "")),
    ] }));
    return table(`Reputation in ${this.zone}: mail of ${SPANS[span]}`, ["Host", "Weight left", "Listed on", "Barred for", ...MAIL, "Overrule"], rows);
  }

  actions(hosts) {
    const rows = hosts.flatMap(([name, host]) => host.actions.map((one) => ({ cells: [
      name,
      one.provider && !one.rule.includes(one.provider) ? `${one.rule} (${one.provider})` : one.rule,
      one.in_force || one.action === "alert" ? one.action : `would ${one.action}`,
      one.in_force ? percent(one.took) : "nothing",
      moment(one.since),
      ends(one),
      el("span", { class: "long" }, one.why),
      this.button("Ignore…", `Ignore ${one.rule} for ${name} of ${this.zone}`, () => this.ignore(name, one.rule)),
    ] })));
    if (!rows.length) return el("p", { class: "quiet" }, "Nothing stands against these hosts.");
    return table(`What stands against hosts of ${this.zone}`, ["Host", "Rule or list", "Does", "Takes", "Since", "Until", "Why", "Overrule"], rows);
  }

  ignore(name, rule) {
    const rules = new Set([...this.about.hosts[name].actions.map((one) => one.rule), ...listed(this.about.hosts[name])]);
    this.overrule.ignore(this.zone, name, [...rules], rule);
  }

  ignored() {
    const rows = this.about.ignored.map((one) => ({ cells: [
      one.host, one.rule ?? "everything", moment(one.until), one.author, one.reason || "–",
      this.button("End…", `End ignoring ${one.rule ?? "everything"} for ${one.host} of ${this.zone}`, () => this.overrule.ignore(this.zone, one.host, one.rule === null ? [] : [one.rule], one.rule ?? "", true)),
    ] }));
    return rows.length ? table(`Ignored in ${this.zone}`, ["Host", "Rule or list", "Until", "By", "Reason", "Overrule"], rows) : null;
  }

  lists() {
    const rows = this.about.known.filter(([, one]) => one.why).map(([name, one]) => ({ cells: [name, one.ok ? "believed, not in whole" : "not believed", el("span", { class: "long" }, one.why), one.at === null ? "–" : moment(one.at)] }));
    return rows.length ? table(`Block lists of ${this.zone} that do not answer as they should`, ["List", "State", "Why", "Asked"], rows) : null;
  }

  unknown() {
    if (!this.about.unknown.length) return null;
    return el("details", { open: this.opened.has(""), ontoggle: (event) => this.turned("", event) }, el("summary", {}, "Replies that no rule knows"),
      table("Replies that no rule knows, of all zones", ["Reply", "Times"], this.about.unknown.map((one) => ({ cells: [el("span", { class: "long" }, one.text), whole(one.count)] }))));
  }

  turned(name, event) {
    if (event.target.open) this.opened.add(name);
    else this.opened.delete(name);
  }

  /** A host's plot, and its providers on demand. */
  card(name, host) {
    const span = this.span.value;
    const rows = Object.entries(host.providers).filter(([, spans]) => span in spans).sort(([, one], [, other]) => other[span].first - one[span].first)
      .map(([provider, spans]) => ({ cells: [provider, ...mail(spans[span]), delay(spans[span].delay_p50_s), delay(spans[span].delay_p95_s)] }));
    const providers = rows.length
      ? el("details", { open: this.opened.has(name), ontoggle: (event) => this.turned(name, event) }, el("summary", { "aria-label": `By provider: ${name} of ${this.zone}` }, "By provider"),
        table(`Mail of ${name} by provider, ${SPANS[span]}`, ["Provider", ...MAIL, "Half within", "95 % within"], rows))
      : null;
    return el("figure", { class: "plot" }, ...plot(name, host.hours), providers);
  }
}
