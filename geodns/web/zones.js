/** Zones: each with its pools and hosts, and the filter over all of them. */

import { Day } from "./day.js";
import { attribute, byId, el, icon, keep, show, write } from "./dom.js";
import { Experiments } from "./experiments.js";
import { Hosts } from "./hosts.js";
import { Pools } from "./pools.js";
import { Reputation } from "./reputation.js";
import { Routes } from "./routes.js";
import { Views } from "./views.js";
import { Warmup } from "./warmup.js";
import { whole } from "./words.js";

const KEY = "filter";
const REST = 300; // ms without a key: the address is slow to change

class Zone {
  constructor(name, act, overrule) {
    this.facts = el("span", { class: "quiet" });
    this.text = el("span");
    this.error = el("p", { class: "alarm" }, icon("warn"), this.text);
    this.pools = new Pools();
    this.hosts = new Hosts(name, act);
    this.day = new Day(name, () => this.hosts.shown());
    this.views = new Views(name);
    this.routes = new Routes(name);
    this.warmup = new Warmup(name);
    this.reputation = new Reputation(name, () => this.hosts.shown(), overrule);
    this.experiments = new Experiments();
    this.node = el("section", { class: "zone", "aria-label": `zone ${name}` },
      el("h2", {}, el("span", {}, name), " ", this.facts), this.error,
      el("h3", { class: "unseen" }, "Pools"), this.pools.node,
      el("h3", { class: "unseen" }, "Hosts"), this.hosts.node, this.views.node, this.routes.node, this.warmup.node, this.reputation.node, this.experiments.node, this.day.node);
  }

  draw({ zone, pools, hosts, views }, now) {
    write(this.facts, zone.serial === null ? "not served" : `serial ${zone.serial} · ${zone.file}`);
    write(this.text, zone.error ? `The file is refused, what was before is served: ${zone.error}` : "");
    show(this.error, Boolean(zone.error));
    this.pools.draw(pools);
    this.hosts.draw(hosts, pools, now);
    this.views.draw(views, pools, now);
    for (const node of [this.hosts.node, this.day.node]) show(node, Object.keys(hosts).length > 0);
  }
}

/** All zones, and the filter. */
export class Zones {
  /**
   * @param {(verb: string, zone: string, host: string) => void} act carries out what a host's buttons say
   * @param {OverruleDialog} overrule
   */
  constructor(act, overrule) {
    this.act = act;
    this.overrule = overrule;
    this.kept = new Map();
    this.timer = null;
    this.box = byId("filter");
    this.trouble = byId("trouble");
    const wanted = new URLSearchParams(location.hash.slice(1));
    this.box.value = wanted.get(KEY) ?? "";
    this.trouble.checked = wanted.has("trouble");
    this.box.addEventListener("input", () => this.changed());
    this.trouble.addEventListener("change", () => this.changed());
  }

  draw(status, now) {
    const wanted = Object.entries(status.zones).map(([name, zone]) => [name, { zone, pools: status.pools[name] ?? {}, hosts: status.hosts[name] ?? {}, views: status.views[name] }]);
    keep(byId("zones"), this.kept, wanted, (name) => new Zone(name, this.act, this.overrule), (one, data) => one.draw(data, now));
    this.filter();
  }

  sparks(zones) {
    for (const [name, zone] of this.kept) zone.hosts.sparks(zones[name]);
  }

  warmups(zones) {
    for (const [name, zone] of this.kept) zone.warmup.draw(zones[name]);
  }

  holds(experiments) {
    for (const [name, zone] of this.kept) zone.experiments.draw(experiments[name]);
  }

  routes({ zones, listen }) {
    for (const [name, zone] of this.kept) zone.routes.draw(zones[name], listen.length > 0);
  }

  reputations({ zones, lists, unknown_replies: unknown }) {
    for (const [name, zone] of this.kept) zone.reputation.draw(zones[name], lists, unknown);
  }

  /** The filter was changed: show it in the address, so that a bookmark keeps it. */
  changed() {
    this.filter();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.bookmark(), REST);
  }

  bookmark() {
    const kept = new URLSearchParams();
    if (this.box.value) kept.set(KEY, this.box.value);
    if (this.trouble.checked) kept.set("trouble", "1");
    history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
  }

  filter() {
    const words = this.box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = !words.length && !this.trouble.checked;
    let shown = 0;
    let total = 0;
    for (const zone of this.kept.values()) {
      const some = zone.hosts.filter(words, this.trouble.checked);
      zone.day.filtered();
      zone.reputation.redraw();
      show(zone.node, all || some > 0);
      attribute(zone.node, "data-filtered", all ? null : "");
      shown += some;
      total += zone.hosts.kept.size;
    }
    write(byId("found"), all ? `${whole(total)} hosts` : `${whole(shown)} of ${whole(total)} hosts`);
  }

  set(text) {
    this.box.value = text;
    this.trouble.checked = false;
    this.changed();
    this.box.focus();
  }

  /** Show a host's row, and put the focus there. */
  go(zone, name) {
    const row = this.kept.get(zone)?.hosts.kept.get(name);
    if (!row) return;
    if (row.node.hidden) this.set("");
    row.node.scrollIntoView({ block: "center" });
    row.node.focus({ preventScroll: true });
  }
}
