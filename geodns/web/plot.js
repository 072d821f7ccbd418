/** Plots of a host's day: what it was dealt against what was intended, how long its probes took, when it was down. */

import { el, svg } from "./dom.js";
import { amount, clock, percent } from "./words.js";

export const STEP = 600; // seconds of a point
export const DAY = 86400;

const WIDTH = 320;
const HEIGHT = 128;
const LEFT = 40; // what is left of it is for the scales
const SHARE = { top: 10, bottom: 64 };
const LATENCY = { top: 78, bottom: 108 };
const NICE = [1, 2, 5, 10]; // what a scale may end with, times a power of ten
const EVERY = 6; // hours between two marks

/** The least nice number that nothing is above. */
function above(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1e-4)));
  return power * NICE.find((one) => one * power >= most * 0.999);
}

/** Full shares end at 100 %, whatever is a nice number. */
const scaleOf = (most) => Math.min(1, above(most));

/** The most that a host was dealt or should have been: plots beside each other have one scale. */
export function most(columns) {
  return Math.max(0, ...columns.share.map((one) => one ?? 0), ...columns.intended.map((one) => one ?? 0));
}

/** A column as steps: a path along its top, and the same down to the ground. */
function stepped(times, values, x, y, ground) {
  let line = "";
  let area = "";
  let end = null; // where the stretch before ended
  times.forEach((at, number) => {
    const value = values[number];
    if (value === null) return;
    const [from, to, top] = [x(at), x(at + STEP), y(value)];
    line += end === at ? `V${top}H${to}` : `M${from} ${top}H${to}`;
    area += `M${from} ${ground}V${top}H${to}V${ground}Z`;
    end = at + STEP;
  });
  return [line, area];
}

function middle(values) {
  const sorted = values.filter((one) => one !== null).sort((one, other) => one - other);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
}

function mean(values) {
  const some = values.filter((one) => one !== null);
  return some.length ? some.reduce((sum, one) => sum + one, 0) / some.length : null;
}

/** What the plot shows, in a line. */
function summary({ share, intended, rtt_ms: rtt, up }) {
  const [dealt, wanted, usual, part] = [mean(share), mean(intended), middle(rtt), mean(up)];
  return [
    dealt === null ? "no answers" : `dealt ${percent(dealt)}, intended ${percent(wanted ?? 0)}`,
    usual === null ? null : `probes ${amount(usual)} ms, at most ${amount(Math.max(...rtt))} ms`,
    part === null ? null : `up ${percent(part)}`,
  ].filter(Boolean).join(" · ");
}

function marks(from, to, x) {
  const first = new Date(from * 1000);
  first.setMinutes(0, 0, 0);
  const made = [];
  for (let at = first; at.getTime() / 1000 <= to; at = new Date(at.getTime() + 3600000)) {
    if (at.getTime() / 1000 < from || at.getHours() % EVERY) continue;
    const place = x(at.getTime() / 1000);
    made.push(svg("path", { class: "grid", d: `M${place} ${SHARE.top}V${SHARE.bottom}M${place} ${LATENCY.top}V${LATENCY.bottom}` }));
    if (place > LEFT + 12 && place < WIDTH - 16) made.push(svg("text", { x: place, y: HEIGHT - 6, "text-anchor": "middle" }, clock(at, at, { seconds: false })));
  }
  return made;
}

/**
 * Draw a host's day.
 * @param {string} name of the host
 * @param {object|undefined} columns its points, as the API tells them; none where nothing is known
 * @param {number} now the server's time in seconds
 * @param {number} [scale] what a full plot of shares is
 */
export function plot(name, columns, now, scale) {
  const caption = (text) => el("figcaption", {}, el("b", {}, name), " ", el("span", { class: "quiet" }, text));
  if (!columns) return el("figure", { class: "plot" }, caption("nothing is known of it yet"));
  const from = now - DAY;
  const x = (at) => +(LEFT + ((Math.min(Math.max(at, from), now) - from) / DAY) * (WIDTH - LEFT - 2)).toFixed(1);
  const y = ({ top, bottom }, full) => (value) => +(bottom - (Math.min(value, full) / full) * (bottom - top)).toFixed(1);
  const share = scaleOf(scale ?? most(columns));
  const rtt = above(Math.max(...columns.rtt_ms.map((one) => one ?? 0), 0.1));
  const [dealt, area] = stepped(columns.at, columns.share, x, y(SHARE, share), SHARE.bottom);
  const [intended] = stepped(columns.at, columns.intended, x, y(SHARE, share), SHARE.bottom);
  const [probes] = stepped(columns.at, columns.rtt_ms, x, y(LATENCY, rtt), LATENCY.bottom);
  const down = columns.at.map((at, number) => [at, columns.up[number]]).filter(([, up]) => up !== null && up < 1);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": true });
  drawn.append(
    ...down.map(([at, up]) => svg("rect", { class: "down", x: x(at), y: SHARE.top, width: Math.max(1, x(at + STEP) - x(at)), height: LATENCY.bottom - SHARE.top, "fill-opacity": (0.15 + 0.3 * (1 - up)).toFixed(2) })),
    ...marks(from, now, x),
    svg("path", { class: "axis", d: `M${LEFT} ${SHARE.top}V${SHARE.bottom}H${WIDTH}M${LEFT} ${LATENCY.top}V${LATENCY.bottom}H${WIDTH}` }),
    svg("path", { class: "area", d: area }),
    svg("path", { class: "dealt", d: dealt }),
    svg("path", { class: "intended", d: intended }),
    svg("path", { class: "latency", d: probes }),
    svg("text", { x: LEFT - 4, y: SHARE.top + 4, "text-anchor": "end" }, percent(share)),
    svg("text", { x: LEFT - 4, y: LATENCY.top + 4, "text-anchor": "end" }, `${amount(rtt)} ms`));
  return el("figure", { class: "plot" }, caption(summary(columns)), drawn);
}

/** What the lines and colours mean. */
export function legend() {
  const one = (kind, text) => el("span", {}, el("i", { class: `key ${kind}`, "aria-hidden": true }), text);
  return el("p", { class: "legend quiet" }, one("dealt", "answers dealt"), one("intended", "intended"), one("latency", "probe latency"), one("down", "down"));
}
