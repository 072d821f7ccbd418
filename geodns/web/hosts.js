/** Hosts: a row each, changed in place. */

import { attribute, el, icon, keep, show, turn, write } from "./dom.js";
import { Spark, picture } from "./spark.js";
import { describe, partsOf } from "./summary.js";
import { amount, percent } from "./words.js";

const COLUMNS = ["Host", "State", "Share", "Latency", "Answers/s", "Last reply", "Certificate", "Do"];

/** A row to be copied: that is quicker than making each of many. */
function sample() {
  const cell = (kind, label, ...children) => el("td", { role: "cell", class: kind, "data-label": label }, ...children);
  const button = (verb, text) => el("button", { type: "button", "data-verb": verb }, text);
  const number = (kind, label) => cell(`number ${kind}`, label, el("span"), picture());
  return el("tr", { role: "row", tabindex: "-1" },
    el("th", { role: "rowheader", scope: "row", class: "host" }, el("span", { class: "name" }), el("span", { class: "quiet address" })),
    cell("state", "State", el("span", { class: "chip" }, icon("unknown"), el("b")), " ", el("span", { class: "quiet since" }), el("span", { class: "notes" })),
    cell("share", "Share", el("span", { class: "parts" }, "none"), el("span", { class: "quiet load" })),
    number("rtt", "Latency"),
    number("rate", "Answers/s"),
    cell("reply", "Last reply", el("span", { class: "banner" })),
    cell("certificate", "Certificate", el("span", { class: "cert" })),
    cell("do", "Do", button("why", "Why"), button("drain", "Drain"), button("undrain", "Undrain"), button("override", "Override…"), button("clear", "Clear")));
}

const SAMPLE = sample();

function bar() {
  const [fill, text] = [el("span"), el("span")];
  return { node: el("span", { class: "part" }, el("span", { class: "bar", "aria-hidden": true }, fill), text), fill, text };
}

class Row {
  constructor(zone, name) {
    this.name = name;
    this.node = SAMPLE.cloneNode(true);
    this.node.id = `host/${zone}/${name}`;
    const find = (selector) => this.node.querySelector(selector);
    find(".name").textContent = name;
    this.addresses = find(".address");
    this.sign = find(".icon");
    this.word = find("b");
    this.since = find(".since");
    this.notes = find(".notes");
    this.share = find(".parts");
    this.bars = new Map();
    this.load = find(".load");
    this.rtt = find(".rtt > span");
    this.rttSpark = new Spark(find(".rtt > .spark"));
    this.rate = find(".rate > span");
    this.rateSpark = new Spark(find(".rate > .spark"));
    this.detail = find(".banner");
    this.certificate = find(".cert");
    const button = (verb, label) => {
      const found = find(`[data-verb="${verb}"]`);
      found.setAttribute("aria-label", `${label} ${name} of ${zone}`);
      return found;
    };
    button("why", "Why: explain");
    this.drain = button("drain", "Drain");
    this.undrain = button("undrain", "Undrain");
    button("override", "Override");
    this.clear = button("clear", "Clear the overrides of");
    this.about = null;
  }

  draw(host, parts, now) {
    const about = describe(this.name, host, parts, now);
    this.about = about;
    attribute(this.node, "data-level", about.level);
    attribute(this.node, "data-state", about.word);
    turn(this.sign, about.icon);
    write(this.word, about.word + about.partly);
    write(this.since, about.since ? `for ${about.since}` : "");
    write(this.notes, about.notes.join("; "));
    write(this.addresses, host.addresses.join(" "));
    this.drawShare(about.parts);
    write(this.load, about.load);
    write(this.rtt, about.rtt === null ? "–" : `${amount(about.rtt)} ms`);
    write(this.detail, about.detail || "–");
    write(this.certificate, about.certificate?.text ?? "–");
    attribute(this.certificate, "class", `cert ${about.certificate?.level ?? ""}`);
    show(this.drain, host.forced !== "drained");
    show(this.undrain, host.forced === "drained");
    show(this.clear, (host.forced !== null && host.forced !== "drained") || Boolean(host.forced_weight));
  }

  /** A bar for each pool that deals it, with the pool's name. */
  drawShare(parts) {
    if (!parts.length || !this.bars.size) {
      this.bars.clear();
      this.share.replaceChildren(...(parts.length ? [] : ["none"]));
    }
    keep(this.share, this.bars, parts.map((one) => [one.pool, one]), () => bar(), (row, { pool, share, other }) => {
      const width = `${(share * 100).toFixed(2)}%`;
      if (row.fill.style.width !== width) row.fill.style.width = width;
      write(row.text, `${percent(share)}${other === null ? "" : ` (AAAA ${percent(other)})`} of ${pool}`);
    });
  }

  sparks(recent) {
    this.rttSpark.draw(recent?.rtt_ms);
    this.rateSpark.draw(recent?.rate);
    const rate = recent?.rate?.at(-1);
    write(this.rate, rate === undefined || rate === null ? "–" : amount(rate));
  }
}

/** The hosts of one zone, as a table. */
export class Hosts {
  /**
   * @param {string} zone
   * @param {(verb: string, zone: string, host: string) => void} act carries out what a button says
   */
  constructor(zone, act) {
    this.zone = zone;
    this.kept = new Map();
    this.body = el("tbody", { role: "rowgroup", onclick: ({ target }) => {
      const button = target.closest("[data-verb]");
      if (button) act(button.dataset.verb, zone, button.closest("tr").querySelector(".name").textContent);
    } });
    const head = COLUMNS.map((name) => el("th", { role: "columnheader", scope: "col" }, name === "Do" ? el("span", { class: "unseen" }, "Actions") : name));
    // The roles say again what the elements are: a browser forgets that once a style lays them out otherwise.
    this.node = el("table", { role: "table" },
      el("caption", { class: "unseen" }, `Hosts of ${zone}`),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...head)),
      this.body);
  }

  draw(hosts, pools, now) {
    const parts = partsOf(pools);
    keep(this.body, this.kept, Object.entries(hosts),
      (name) => new Row(this.zone, name),
      (row, host) => row.draw(host, parts.get(row.name) ?? [], now));
  }

  sparks(recent) {
    for (const [name, row] of this.kept) row.sparks(recent?.[name]);
  }

  /** The names of the hosts that are shown. */
  shown() {
    return [...this.kept].filter(([, row]) => !row.node.hidden).map(([name]) => name);
  }

  /** Show the rows that fit; returns how many do. */
  filter(words, trouble) {
    let shown = 0;
    const zone = this.zone.toLowerCase();
    for (const row of this.kept.values()) {
      const fits = (!trouble || row.about.trouble) && words.every((word) => row.about.text.includes(word) || zone.includes(word));
      show(row.node, fits);
      shown += fits;
    }
    return shown;
  }
}
