/** Plots of a host's last hours: what it was dealt against what was intended, how long its probes took, when it was down. */

import { el, svg } from "./dom.js";
import { amount, clock, percent } from "./words.js";

export const SPANS = { "1h": [3600, 60], "6h": [21600, 60], "24h": [86400, 600] }; // seconds in all, and of a point
const LEAST = 900; // seconds that a plot shows, however young its data

const WIDTH = 320;
const HEIGHT = 128;
const LEFT = 52; // what is left of it is for the scales
const SHARE = { top: 10, bottom: 64 };
const LATENCY = { top: 78, bottom: 108 };
const NICE = [1, 2, 5, 10]; // what a scale may end with, times a power of ten
const TICKS = [300, 600, 900, 1800, 3600, 7200, 10800, 21600]; // seconds between two marks
const MARKS = 5; // at most

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

/** When a host's points begin, in seconds since the epoch. */
export const begin = (columns) => columns.at[0] ?? Infinity;

/** A column as steps: a path along its top, and the same down to the ground. */
function stepped(times, values, x, y, ground, step) {
  let line = "";
  let area = "";
  let end = null; // where the stretch before ended
  times.forEach((at, number) => {
    const value = values[number];
    if (value === null) return;
    const [from, to, top] = [x(at), x(at + step), y(value)];
    line += end === at ? `V${top}H${to}` : `M${from} ${top}H${to}`;
    area += `M${from} ${ground}V${top}H${to}V${ground}Z`;
    end = at + step;
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
  const every = TICKS.find((one) => (to - from) / one <= MARKS) ?? TICKS.at(-1);
  const made = [];
  // By the clock of whoever looks, which may be ahead by half an hour.
  const ahead = new Date(from * 1000).getTimezoneOffset() * 60;
  for (let at = Math.ceil((from - ahead) / every) * every + ahead; at <= to; at += every) {
    const place = x(at);
    made.push(svg("path", { class: "grid", d: `M${place} ${SHARE.top}V${SHARE.bottom}M${place} ${LATENCY.top}V${LATENCY.bottom}` }));
    const when = new Date(at * 1000);
    const anchor = place < LEFT + 14 ? "start" : place > WIDTH - 14 ? "end" : "middle";
    made.push(svg("text", { x: place, y: HEIGHT - 6, "text-anchor": anchor }, clock(when, when, { seconds: false })));
  }
  return made;
}

/**
 * Draw a host's day.
 * @param {string} name of the host
 * @param {object|undefined} columns its points, as the API tells them; none where nothing is known
 * @param {number} now the server's time in seconds
 * @param {object} [how] `span` of SPANS; `scale`, what a full plot of shares is; `since`, when plots beside it begin
 */
export function plot(name, columns, now, { span = "24h", scale, since } = {}) {
  const caption = (text) => el("figcaption", {}, el("b", {}, name), " ", el("span", { class: "quiet" }, text));
  if (!columns) return el("figure", { class: "plot" }, caption("nothing is known of it yet"));
  const [seconds, step] = SPANS[span];
  const from = Math.max(now - seconds, Math.min(since ?? begin(columns), now - LEAST));
  const x = (at) => +(LEFT + ((Math.min(Math.max(at, from), now) - from) / (now - from)) * (WIDTH - LEFT - 2)).toFixed(1);
  const y = ({ top, bottom }, full) => (value) => +(bottom - (Math.min(value, full) / full) * (bottom - top)).toFixed(1);
  const share = scaleOf(scale ?? most(columns));
  const rtt = above(Math.max(...columns.rtt_ms.map((one) => one ?? 0), 0.1));
  const [dealt, area] = stepped(columns.at, columns.share, x, y(SHARE, share), SHARE.bottom, step);
  const [intended] = stepped(columns.at, columns.intended, x, y(SHARE, share), SHARE.bottom, step);
  const [probes] = stepped(columns.at, columns.rtt_ms, x, y(LATENCY, rtt), LATENCY.bottom, step);
  const down = columns.at.map((at, number) => [at, columns.up[number]]).filter(([, up]) => up !== null && up < 1);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": true });
  drawn.append(
    ...down.map(([at, up]) => svg("rect", { class: "down", x: x(at), y: SHARE.top, width: Math.max(1, x(at + step) - x(at)), height: LATENCY.bottom - SHARE.top, "fill-opacity": (0.15 + 0.3 * (1 - up)).toFixed(2) })),
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
