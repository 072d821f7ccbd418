/** Why a name is answered as it is, and what is known of one host. */

import { read, trouble } from "./api.js";
import { day, spans } from "./day.js";
import { byId, el, table } from "./dom.js";
import { legend, plot } from "./plot.js";
import { amount, clock, count, percent, place } from "./words.js";

function facts(pairs) {
  return el("dl", {}, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

const time = (text) => (text ? clock(new Date(text)) : "–");

function probes(name, host) {
  const rows = host.checks.map((check) => {
    const cert = check.certificate;
    const shown = cert ? [cert.problem, cert.subject, cert.not_after && `until ${cert.not_after.slice(0, 10)}`].filter(Boolean).join(", ") : "–";
    return { cells: [`${check.check} ${place(check.address, check.port)}`, check.state, check.outcome ?? "–", check.detail ?? "–", check.rtt_ms === null ? "–" : `${amount(check.rtt_ms)} ms`, time(check.at), shown] };
  });
  return table(`Probes of ${name}`, ["Check", "State", "Outcome", "Reply", "Time", "At", "Certificate"], rows);
}

function tier(one, focus) {
  const sizes = Object.entries(one.sizes).map(([size, part]) => `${percent(part)} of ${size}`).join(", ");
  const rows = Object.entries(one.members).map(([name, member]) => ({
    mark: name === focus,
    cells: [name, member.pool, member.forced ?? member.state, `${member.weight} → ${amount(Number(member.effective_weight))}`, percent(member.first), percent(member.uniform), member.why],
  }));
  return [
    el("h3", {}, `Pool ${one.pool}`),
    facts([["Dealt from", one.using.join(", ")], ["Last resort", one.last_resort], ["TTL", `${one.ttl} s: ${one.ttl_why}`], ["Answers", sizes]]),
    table(`Hosts of ${one.pool}`, ["Host", "Pool", "State", "Weight", "First", "Any", "Why"], rows),
  ];
}

/** How the answer depends on the client: whose rule applies and why, its arm, its host. */
function byClient(told) {
  if (!told) return [];
  const { client, experiment } = told;
  const holds = client?.scope ? `; the answer holds for /${client.scope} of it` : "";
  const rules = told.rules.map((one) => ({
    mark: Boolean(one.applies),
    cells: [`${one.rule}${one.preference === undefined ? "" : ` at ${one.preference}`}`, one.when || "all others", one.pool, one.hidden_by.length ? `never matches: behind rule ${one.hidden_by.join(" and ")}` : one.why || "–"],
  }));
  return [
    el("h3", {}, "By client"),
    el("p", {}, client ? `${client.network}: ${client.why}${holds}` : "The answer depends on the client: name one to see whose rule applies."),
    ...(rules.length ? [table("Rules, the first that a client meets", ["Rule", "When", "Pool", "Why"], rules)] : []),
    ...(experiment ? [el("p", {}, `Experiment ${experiment.experiment} by ${experiment.by}: arm ${experiment.arm} (${experiment.why})`)] : []),
    ...told.affinity.map((one) => el("p", {}, `${one.pool} picks by client: ${one.hosts.join(", then ")} (bucket ${one.bucket})`)),
  ];
}

function answers(next) {
  return next.map((one) => el("li", {}, one.data.length ? `${one.data.join(", ")}${one.hosts.length ? ` (${one.hosts.join(", ")})` : ""}` : one.rcode));
}

export class Why {
  constructor() {
    this.dialog = byId("why");
    this.dialog.querySelector('button[value="no"]').addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.explain();
    });
    this.focus = null;
  }

  open(zone, name, host) {
    this.focus = name;
    byId("why-title").textContent = `Why: ${name}.${zone}`;
    const weights = `${host.weight}, ${amount(Number(host.effective_weight))} with every factor`;
    byId("why-host").replaceChildren(
      facts([["State", host.state], ["Forced", host.forced], ["Reason", host.reason], ["Author", host.author], ["Weight", weights], ["Addresses", host.addresses.join(", ")], ["From", host.source ?? null]]),
      host.checks.length ? probes(name, host) : el("p", { class: "quiet" }, "No check judges it: it counts as up."));
    byId("why-name").value = zone;
    byId("why-type").value = "A";
    byId("why-client").value = "";
    byId("why-verdict").replaceChildren();
    byId("why-answer").replaceChildren();
    this.dialog.showModal();
    byId("why-title").focus();
    this.explain();
    this.day(zone, name);
  }

  async day(zone, name) {
    const box = byId("why-day");
    const plots = el("div", {}, el("p", { class: "quiet" }, "asking…"));
    const choice = spans(() => this.plot(zone, name, choice, plots));
    box.replaceChildren(choice, plots);
    await this.plot(zone, name, choice, plots);
  }

  async plot(zone, name, choice, box) {
    const { span } = choice;
    let shown;
    try {
      const [points, now] = await day(zone, [name], span);
      shown = [legend(), plot(name, points[name], now, { span })];
    } catch (error) {
      shown = [el("p", { class: "error" }, trouble(error))];
    }
    if (span === choice.span) box.replaceChildren(...shown); // else another is asked for meanwhile
  }

  async explain() {
    const query = new URLSearchParams({ name: byId("why-name").value.trim(), type: byId("why-type").value });
    const client = byId("why-client").value.trim();
    if (client) query.set(client.includes("/") ? "ecs" : "client", client);
    const answer = byId("why-answer");
    try {
      const [told] = await read(`api/v1/explain?${query}`);
      const own = told.tiers.map((one) => [one.pool, one.members[this.focus]]).filter(([, member]) => member);
      byId("why-verdict").replaceChildren(...own.map(([pool, member]) => el("p", { class: "verdict" }, `${this.focus} has ${percent(member.first)} of the first picks in ${pool}: ${member.why}`)));
      answer.replaceChildren(
        ...byClient(told.by_client),
        ...(told.tiers.length ? told.tiers.flatMap((one) => tier(one, this.focus)) : [el("p", {}, `${told.name} ${told.type}: ${told.no_pool}${told.near.length ? `: did you mean ${told.near.join(" or ")}?` : ""}`)]),
        ...(told.next.length ? [el("h3", {}, `The next ${count(told.next.length, "answer")}`), el("ol", {}, ...answers(told.next))] : []));
    } catch (error) {
      byId("why-verdict").replaceChildren();
      answer.replaceChildren(el("p", { class: "error" }, trouble(error)));
    }
  }
}
