/** What the status means: what is wrong now, worst first, and what is said of each host. No elements here. */

import { FAMILIES, amount, clock, count, duration, list, percent, whole } from "./words.js";

export const LEVELS = ["bad", "warn", "note", "good"];
const SHOWN = 6; // hosts named one by one at the top
const CERTIFICATE_SOON = 21; // days

const ago = (time, now) => (time ? duration((now - Date.parse(time)) / 1000) : null);

/** The word for a host as it is treated, its icon and how bad that is. */
function standing({ state, forced, unchecked }) {
  if (forced === "drained" || forced === "quarantined") return { word: forced, icon: "out", level: "note" };
  if (forced) return { word: `forced ${forced}`, icon: forced === "up" ? "up" : "down", level: forced === state ? "note" : "warn" };
  if (unchecked) return { word: "unchecked", icon: "unknown", level: "note" };
  if (state === "up") return { word: "up", icon: "up", level: "good" };
  if (state === "down") return { word: "down", icon: "down", level: "bad" };
  if (state === "shedding") return { word: "shedding", icon: "warn", level: "warn" };
  return { word: state, icon: "unknown", level: "note" };
}

/** The families that are not as the host is: ", IPv4 down". */
function apart({ state, families }) {
  return Object.entries(families).filter(([, one]) => one !== state).map(([family, one]) => `, ${FAMILIES[family]} ${one}`).join("");
}

/** The check that says most of a host: its worst. */
export function telling(host) {
  const rank = (check) => ["down", "shedding", "unknown", "up"].indexOf(check.state) * 1000 - check.failures;
  return host.checks.reduce((worst, check) => (!worst || rank(check) < rank(worst) ? check : worst), null);
}

function until(time, now) {
  return time ? ` until ${clock(new Date(time), new Date(now), { seconds: false })}` : "";
}

function overrides(host, now) {
  const words = [];
  if (host.forced) {
    const by = host.author ? ` by ${host.author}` : "";
    words.push(`${until(host.until, now)}${by}${host.reason ? `: ${host.reason}` : ""}`.trim() || "by hand");
    words.push(host.unchecked ? "unchecked" : `probes say ${host.state}`);
  }
  const weight = host.forced_weight;
  if (weight) {
    const by = weight.author ? ` by ${weight.author}` : "";
    const why = weight.reason ? `: ${weight.reason}` : "";
    words.push(`weight ${weight.weight} instead of ${weight.file_weight}${by}${until(weight.until, now)}${why}`);
    if (weight.hides) words.push(weight.hides);
  }
  return words;
}

/** What is said of a certificate; null where no check saw one. */
export function certificate(host) {
  const seen = host.checks.map((check) => check.certificate).filter(Boolean);
  if (!seen.length) return null;
  const days = (one) => one.days_left ?? -Infinity;
  const worst = seen.reduce((least, one) => (days(one) < days(least) ? one : least));
  if (worst.days_left === null) return { text: "unreadable", level: "warn", problem: worst.problem };
  if (worst.days_left < 0) return { text: "expired", level: "bad", problem: worst.problem };
  const left = Math.floor(worst.days_left);
  const level = left < CERTIFICATE_SOON ? "warn" : "good";
  return { text: `${count(left, "day")}${level === "warn" ? ", soon" : ""}`, level, problem: worst.problem };
}

/** All that a row shows of a host. */
export function describe(name, host, parts, now) {
  const check = telling(host);
  const slowest = Math.max(...host.checks.map((one) => one.rtt_ms ?? -1));
  const notes = overrides(host, now);
  const lowered = Object.entries(host.factors).filter(([, value]) => value < 1);
  if (lowered.length) notes.push(`weight lowered: ${lowered.map(([factor, value]) => `${factor} ${percent(value)}`).join(", ")}`);
  if (host.load?.stale || host.load?.error) notes.push(`load not known${host.load.error ? `: ${host.load.error}` : ""}`);
  const failing = host.checks.find((one) => one.failures && one.state === "up");
  if (failing) notes.push(`${count(failing.failures, "failure")} gathered`);
  if (host.checks.some((one) => one.degraded)) notes.push("slow to answer");
  const one = standing(host);
  const partly = apart(host);
  if (partly && one.level === "good") Object.assign(one, { icon: "warn", level: "warn" });
  const shown = certificate(host);
  return {
    ...one,
    partly,
    since: ago(host.forced ? host.forced_since : host.since, now),
    notes,
    detail: check?.detail ?? "",
    rtt: slowest < 0 ? null : slowest,
    certificate: shown,
    parts,
    load: host.load && host.load.value !== null && !host.load.stale ? `load ${amount(host.load.value)} of ${amount(host.load.full)}` : "",
    trouble: one.level !== "good" || notes.length > 0 || (shown !== null && shown.level !== "good"),
    // What the filter looks in; a line break keeps one from running into the next.
    text: [name, one.word + partly, host.state, ...host.addresses, ...notes, ...host.checks.map((each) => each.detail ?? "")].join("\n").toLowerCase(),
  };
}

/** The parts that each host of a zone has in its pools: Map of host to [{pool, share, other}]. */
export function partsOf(pools) {
  const parts = new Map();
  for (const [pool, { families }] of Object.entries(pools)) {
    const [first, second] = [families.A.share, families.AAAA.share];
    for (const host of new Set([...Object.keys(first), ...Object.keys(second)])) {
      const [a, aaaa] = [first[host] ?? null, second[host] ?? null];
      const other = a !== null && aaaa !== null && Math.abs(a - aaaa) > 0.0005 ? aaaa : null;
      if (!parts.has(host)) parts.set(host, []);
      parts.get(host).push({ pool, share: a ?? aaaa, other });
    }
  }
  return parts;
}

/**
 * What is dealt instead of a pool's own hosts, in each family or, where both are alike, in all.
 * @returns {{on: string, resort: ?string, helpers: string[], word: string}[]}
 */
export function instead(pool, { families, overflow }) {
  const dealing = Object.entries(families).filter(([, one]) => one.using.length || one.last_resort);
  const same = dealing.every(([, one]) => one.last_resort === dealing[0][1].last_resort && String(one.using) === String(dealing[0][1].using));
  const alive = dealing.some(([, one]) => !one.last_resort);
  return (same ? dealing.slice(0, 1) : dealing)
    .map(([family, one]) => ({
      on: same || !alive ? "" : ` on ${FAMILIES[family]}`,
      resort: one.last_resort,
      helpers: one.using.filter((used) => used !== pool && used !== overflow),
      word: one.using.includes(pool) ? "helps out" : "stands in",
    }))
    .filter((one) => one.resort || one.helpers.length);
}

function problemsOfPools(pools) {
  const dead = [];
  const helped = [];
  for (const [zone, some] of Object.entries(pools)) {
    for (const [pool, one] of Object.entries(some)) {
      for (const { on, resort: last, helpers, word } of instead(pool, one)) {
        if (last) dead.push({ level: "bad", zone, pool, on, text: `Pool ${pool} of ${zone}: nobody is live${on}, ${resort(last)}` });
        else helped.push({ level: "warn", text: `Pool ${pool} of ${zone} has too few live hosts${on}: ${list(helpers)} ${word}` });
      }
    }
  }
  return [dead, helped];
}

/** A last resort in words. */
export function resort(name) {
  return name === "servfail" ? "SERVFAIL is answered" : `hosts that are ${name} are dealt as a last resort`;
}

function problemsOfHosts(hosts, now) {
  const out = [];
  const forced = [];
  const counts = {};
  let total = 0;
  for (const [zone, some] of Object.entries(hosts)) {
    for (const [name, host] of Object.entries(some)) {
      total += 1;
      const { word } = standing(host);
      counts[word] = (counts[word] ?? 0) + 1;
      const since = ago(host.forced ? host.forced_since : host.since, now);
      const long = since ? ` for ${since}` : "";
      if (host.forced || host.forced_weight) {
        const about = overrides(host, now).join("; ");
        const level = word === "forced up" && host.state === "down" ? "warn" : "note";
        forced.push({ level, host: [zone, name], text: host.forced ? ` has been ${word}${long} ${about}` : ` has ${about}` });
      } else if (host.state === "down" || host.state === "shedding") {
        const detail = telling(host)?.detail;
        out.push({ level: "warn", state: host.state, host: [zone, name], text: ` has been ${word}${long}${detail ? `: ${detail}` : ""}` });
      }
    }
  }
  out.sort((one, other) => Number(other.state === "down") - Number(one.state === "down"));
  return { out, forced, counts, total };
}

function fewer(problems, word, filter) {
  if (problems.length <= SHOWN) return problems;
  const rest = problems.length - SHOWN + 1;
  const { level } = problems[0];
  return [...problems.slice(0, SHOWN - 1), { level, filter, text: `${rest} more hosts are ${word}` }];
}

/**
 * What is wrong now.
 * @returns {{level: string, title: string, counts: string, problems: object[]}}
 */
export function summarize(status, now) {
  const [dead, helped] = problemsOfPools(status.pools);
  const { out, forced, counts, total } = problemsOfHosts(status.hosts, now);
  const known = dead.map((one) => one.text.split(",")[0].toLowerCase()); // told by the pools themselves
  const warnings = status.warnings
    .filter((text) => !known.some((start) => text.toLowerCase().startsWith(start)))
    .map((text) => ({ level: "warn", text }));
  const problems = [
    ...(status.ready ? [] : [{ level: "bad", text: "This server is not ready to answer" }]),
    ...dead,
    ...fewer(out, "out", "down"),
    ...helped,
    ...warnings,
    ...fewer(forced, "forced", "by"),
  ];
  problems.sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
  const states = Object.entries(counts).sort(([one], [other]) => Number(other === "up") - Number(one === "up")).map(([word, number]) => `${whole(number)} ${word}`);
  const pools = Object.values(status.pools).reduce((sum, some) => sum + Object.keys(some).length, 0);
  return {
    level: problems[0]?.level ?? "good",
    title: titled(status, dead, out, [...helped, ...warnings], forced, total),
    counts: [
      `${count(total, "host")}: ${states.join(", ") || "none"}`,
      count(pools, "pool"),
      count(Object.keys(status.zones).length, "zone"),
    ].join(" · "),
    problems,
  };
}

/** Which pools nobody serves: those that nobody serves at all come before those of one family. */
function nobody(dead) {
  const entire = dead.filter((one) => !one.on);
  const shown = entire.length ? entire : dead;
  const pools = new Set(shown.map(({ zone, pool }) => `${pool} ${zone}`));
  const on = [...new Set(shown.map((one) => one.on))].join(" or");
  return `Nobody is live${on} in ${pools.size === 1 ? `pool ${shown[0].pool}` : `${pools.size} pools`}`;
}

function titled(status, dead, out, warnings, forced, total) {
  if (!status.ready) return "Not ready to answer";
  if (dead.length) return nobody(dead);
  const states = [...new Set(out.map((one) => one.state))];
  if (out.length === 1) return `${out[0].host[1]} is ${states[0]}`;
  if (out.length) return `${out.length} of ${total} hosts are ${states.length === 1 ? states[0] : "out"}`;
  if (warnings.length) return `All hosts answer; ${count(warnings.length, "warning")}`;
  if (forced.length) return `All is well; ${count(forced.length, "host")} forced by hand`;
  return total ? "All is well" : "No hosts";
}
