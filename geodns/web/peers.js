/** The name servers of these zones, side by side: seen when, with which content, and in what they differ. */

import { byId, show, table, write } from "./dom.js";
import { clock, count, list } from "./words.js";

/** What a server serves of a zone; serials of one content may differ. */
const content = (zone) => (zone?.digest ? `serial ${zone.serial}, content ${zone.digest.slice(0, 8)}` : "not served");
const offset = (seconds) => (seconds === null ? "?" : `${Math.abs(seconds).toFixed(1)} s ${seconds < 0 ? "behind" : "ahead"}`);
const seen = (one) => (one.seen ? clock(new Date(one.seen)) : "never");
const differs = (one) => one.error ?? (one.differs.map((each) => each.what).join("; ") || "nothing");

const served = { quorum: "what most servers see is served", frozen: "the last common verdicts are served", own: "this server serves what it sees itself" };

/** Say how things stand among the servers that judge together. */
function together(one) {
  const lone = one.alone.map((each) => `${each.server} alone says ${each.says} of ${each.hosts.join(", ")}${each.why ? `: ${each.why}` : ""}`);
  const http = Object.keys(one.http).filter((name) => !one.http[name]);
  const hears = `hears ${one.heard.length} of ${one.known}${http.length ? `, by HTTP ${list(http)}` : ""}`;
  const state = one.connected ? hears : `not connected (${one.why})${http.length ? `, ${hears}` : ""}`;
  return [`Group ${one.group}: ${state}, ${served[one.mode] ?? one.mode}`, ...lone].join("; ");
}

let drawn = "";

/** Draw the servers; without `peers` this one is alone. */
export function drawPeers({ node, version, zones, peers, shared }) {
  show(byId("shared"), Boolean(shared));
  if (shared) write(byId("shared"), together(shared));
  const all = Object.entries(peers ?? {});
  show(byId("peers"), all.length > 0);
  const text = JSON.stringify([node, version, all]);
  if (!all.length || text === drawn) return;
  drawn = text;
  const wrong = all.filter(([, one]) => one.error || one.differs.length).map(([name]) => name);
  const away = all.filter(([, one]) => one.error).map(([name]) => name);
  const what = away.length ? `${list(away)} ${away.length === 1 ? "does" : "do"} not answer` : wrong.length ? `${list(wrong)} ${wrong.length === 1 ? "differs" : "differ"}` : "they agree";
  write(byId("peers-title"), `${count(all.length + 1, "name server")}: ${what}`);
  const names = [...new Set([...Object.keys(zones), ...all.flatMap(([, one]) => Object.keys(one.zones))])].sort();
  const row = (name, own, of) => ({ cells: [name, own, ...all.map(([, one]) => of(one))] });
  const rows = [
    row("seen", "this one", seen),
    row("version", version, (one) => one.version ?? "?"),
    row("clock", "–", (one) => offset(one.clock_offset_s)),
    ...names.map((zone) => row(zone, content(zones[zone]), (one) => content(one.zones[zone]))),
    row("differs in", "–", differs),
  ];
  byId("peers-table").replaceChildren(table("Side by side", ["server", node, ...all.map(([name]) => name)], rows));
}
