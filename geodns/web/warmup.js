/** Warm-ups of a zone's hosts: a table of where each stands, and each plan as a plot. */

import { el, show, svg, table, write } from "./dom.js";
import { percent, whole } from "./words.js";

const WIDTH = 320;
const HEIGHT = 110;
const LEFT = 64; // what is left of it is for the scale
const TOP = 10;
const BOTTOM = 88;
const HEAD = ["Host", "Plan", "Day", "Cap", "Sent today", "Share", "At most", "Held"];

function row(name, one) {
  return { cells: [
    name,
    one.days === "sending" ? `${one.plan}, by sending days` : one.plan,
    one.day ? `${one.day} of ${one.last}` : `from ${one.start}`,
    one.cap === null ? "over" : whole(one.cap),
    `${whole(Math.round(one.sent))}${one.counted ? "" : " by its share"}`,
    percent(one.share),
    one.ceiling === null ? "–" : percent(one.ceiling),
    one.held ?? "–",
  ] };
}

/** The caps from today on, on a logarithmic scale, and what was sent today as a dot. */
function plot(name, one) {
  const caps = [one.cap ?? 0, ...one.ahead.map((day) => day.cap)];
  const most = Math.log10(Math.max(...caps, 10));
  const x = (at) => +(LEFT + ((WIDTH - LEFT - 6) * at) / Math.max(1, caps.length - 1)).toFixed(1);
  const y = (messages) => +(BOTTOM - ((BOTTOM - TOP) * Math.log10(Math.max(messages, 1))) / most).toFixed(1);
  const steps = caps.map((cap, at) => `${at ? "L" : "M"}${x(at)} ${y(cap)}`).join("");
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": true },
    svg("path", { class: "axis", d: `M${LEFT} ${TOP}V${BOTTOM}H${WIDTH}` }),
    svg("path", { class: "dealt", d: steps }),
    svg("circle", { class: "sent", cx: x(0), cy: y(one.sent), r: 3 }),
    svg("text", { x: LEFT - 4, y: y(Math.max(...caps)) + 4, "text-anchor": "end" }, whole(Math.max(...caps))),
    svg("text", { x: LEFT, y: HEIGHT - 6 }, "today"),
    svg("text", { x: WIDTH - 4, y: HEIGHT - 6, "text-anchor": "end" }, one.ahead.at(-1).date));
  const soon = one.ahead.slice(0, 3).map((day) => `${day.date} ${whole(day.cap)}`).join(", ");
  return el("figure", { class: "plot" }, el("figcaption", {}, el("b", {}, name), " ", el("span", { class: "quiet" }, `ahead: ${soon}`)), drawn);
}

export class Warmup {
  constructor(zone) {
    this.zone = zone;
    this.title = el("summary");
    this.body = el("div");
    this.node = el("details", { class: "warmup", hidden: true }, this.title, this.body);
    this.drawn = "";
  }

  /** Draw what the server says of the zone's hosts; undefined: none warms up. */
  draw(about) {
    const hosts = Object.entries(about?.hosts ?? {});
    show(this.node, hosts.length > 0);
    const text = JSON.stringify(hosts);
    if (text === this.drawn) return;
    this.drawn = text;
    const held = hosts.filter(([, one]) => one.held !== null && one.cap !== null && one.day > 0).length;
    write(this.title, `Warm-up of ${hosts.length === 1 ? hosts[0][0] : `${hosts.length} hosts`}${held ? `, ${held} held` : ""}`);
    const plots = hosts.filter(([, one]) => one.ahead.length).map(([name, one]) => plot(name, one));
    this.body.replaceChildren(table(`Warm-ups in ${this.zone}`, HEAD, hosts.map(([name, one]) => row(name, one))), el("div", { class: "plots" }, ...plots));
  }
}
