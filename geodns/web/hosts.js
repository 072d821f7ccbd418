/** Hosts: a row each, changed in place. */

import { attribute, el, icon, keep, show, write } from "./dom.js";
import { Spark } from "./spark.js";
import { describe, partsOf } from "./summary.js";
import { amount, percent } from "./words.js";

const COLUMNS = ["Host", "State", "Share", "Latency", "Answers/s", "Last reply", "Certificate", "Do"];

class Row {
  constructor(zone, name, act) {
    this.zone = zone;
    this.name = name;
    this.sign = icon("unknown");
    this.word = el("b");
    this.since = el("span", { class: "quiet" });
    this.notes = el("span", { class: "notes" });
    this.addresses = el("span", { class: "quiet address" });
    this.fill = el("span");
    this.bar = el("span", { class: "bar", "aria-hidden": true }, this.fill);
    this.share = el("span");
    this.rtt = el("span");
    this.rttSpark = new Spark("rtt");
    this.rate = el("span");
    this.rateSpark = new Spark("rate");
    this.detail = el("span", { class: "banner" });
    this.certificate = el("span");
    const full = `${name} of ${zone}`;
    const button = (text, verb, about) => el("button", { type: "button", "aria-label": `${text}${about} ${full}`, onclick: () => act(verb, zone, name) }, text);
    this.drain = button("Drain", "drain", "");
    this.undrain = button("Undrain", "undrain", "");
    this.clear = button("Clear", "clear", " what is forced on");
    const cell = (kind, label, ...children) => el("td", { role: "cell", class: kind, "data-label": label }, ...children);
    this.node = el("tr", { role: "row", id: `host/${zone}/${name}`, tabindex: "-1" },
      el("th", { role: "rowheader", scope: "row", class: "host" }, el("span", { class: "name" }, name), this.addresses),
      cell("state", "State", el("span", { class: "chip" }, this.sign, this.word), " ", this.since, this.notes),
      cell("share", "Share", this.bar, this.share),
      cell("number", "Latency", this.rtt, this.rttSpark.node),
      cell("number", "Answers/s", this.rate, this.rateSpark.node),
      cell("reply", "Last reply", this.detail),
      cell("certificate", "Certificate", this.certificate),
      cell("do", "Do", button("Why", "why", ": explain"), this.drain, this.undrain, this.clear));
    this.about = null;
  }

  draw(host, parts, now) {
    const about = describe(this.name, host, parts, now);
    this.about = about;
    attribute(this.node, "data-level", about.level);
    attribute(this.node, "data-state", about.word);
    this.sign.turn(about.icon);
    write(this.word, about.word);
    write(this.since, about.since ? `for ${about.since}` : "");
    write(this.notes, about.notes.join("; "));
    write(this.addresses, host.addresses.join(" "));
    this.drawShare(about.parts);
    write(this.rtt, about.rtt === null ? "–" : `${amount(about.rtt)} ms`);
    write(this.detail, about.detail || "–");
    write(this.certificate, about.certificate?.text ?? "–");
    attribute(this.certificate, "class", `cert ${about.certificate?.level ?? ""}`);
    show(this.drain, host.forced !== "drained");
    show(this.undrain, host.forced === "drained");
    show(this.clear, (host.forced !== null && host.forced !== "drained") || Boolean(host.forced_weight));
  }

  drawShare(parts) {
    const most = Math.max(0, ...parts.map((one) => one.share));
    const width = `${(most * 100).toFixed(2)}%`;
    if (this.fill.style.width !== width) this.fill.style.width = width;
    const words = parts.map(({ pool, share, other }) => `${percent(share)}${other === null ? "" : ` (AAAA ${percent(other)})`} of ${pool}`);
    write(this.share, words.join(", ") || "none");
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
    this.act = act;
    this.kept = new Map();
    this.body = el("tbody", { role: "rowgroup" });
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
      (name) => new Row(this.zone, name, this.act),
      (row, host) => row.draw(host, parts.get(row.name) ?? [], now));
  }

  sparks(recent) {
    for (const [name, row] of this.kept) row.sparks(recent?.[name]);
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
