/** Dialogs: an order with its reason, and the token. */

import { Refused, hostPath, order, session } from "./api.js";
import { byId, el, show, table, write } from "./dom.js";
import { FAMILIES, list, percent } from "./words.js";

/** Open a dialog whose buttons of value "no" close it; `done` is called with each submission. */
export function prepare(id, submitted) {
  const dialog = byId(id);
  dialog.querySelector('button[value="no"]').addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submitted();
  });
  return dialog;
}

/** Asks for the token. */
export class TokenDialog {
  constructor() {
    this.dialog = prepare("token", () => this.take(byId("token-value").value.trim()));
    this.dialog.addEventListener("close", () => this.answer(false));
    byId("token-forget").addEventListener("click", () => this.take(""));
    this.waiting = [];
  }

  /** Ask for it; resolves to whether one was given (or forgotten). */
  ask(text) {
    write(byId("token-text"), text);
    byId("token-value").value = "";
    show(byId("token-forget"), Boolean(session.token));
    if (!this.dialog.open) this.dialog.showModal();
    byId("token-value").focus();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  take(token) {
    session.token = token;
    this.answer(true);
    this.dialog.close();
  }

  answer(given) {
    for (const resolve of this.waiting.splice(0)) resolve(given);
  }
}

const VERBS = {
  drain: { go: "Drain", done: "is drained", text: "No new answers name it. Mail that is queued already still leaves it, and clients may hold its address for one TTL and their connections for longer." },
  quarantine: { go: "Quarantine", done: "is quarantined", text: "No new answers name it, since its mail may be refused. Where nobody else in a pool is left, it is dealt before drained hosts." },
  weight: { go: "Set weight", done: "has another weight", text: "It has this weight in every pool, instead of the zone file's. With 0 it is never dealt." },
  up: { go: "Force up", done: "is forced up", text: "It is dealt even if its probes fail." },
  down: { go: "Force down", done: "is forced down", text: "It is never dealt, not even as a last resort." },
  undrain: { go: "Undrain", done: "is given back", text: "It is dealt again as its probes say." },
  clear: { go: "Clear", done: "has no overrides any more", text: "All overrides of it end, and its probes decide." },
};
const ENDS = ["undrain", "clear"];
const SHOWN = 12; // rows of a preview
const REST = 300; // ms after a weight was typed

/** Asks for a reason, and gives an order. */
export class OrderDialog {
  /**
   * @param {TokenDialog} tokens
   * @param {(text: string, zone: string, host: string) => void} done is told what was done
   */
  constructor(tokens, done) {
    this.tokens = tokens;
    this.done = done;
    this.dialog = prepare("order", () => this.send());
    this.asked = null;
    this.busy = false;
    this.timer = null;
    const turned = () => this.turn(byId("order-verb").value, this.asked.zone, this.asked.host);
    byId("order-verb").addEventListener("change", turned);
    byId("order-weight").addEventListener("input", () => {
      this.asked = { ...this.asked, yes: false }; // that was for another weight
      clearTimeout(this.timer);
      this.timer = setTimeout(turned, REST);
    });
  }

  open(verb, zone, host, weight) {
    byId("order-verb").value = verb === "override" ? "quarantine" : verb;
    byId("order-weight").value = weight;
    byId("order-reason").value = "";
    byId("order-for").value = "";
    byId("order-author").value = session.author;
    this.turn(verb === "override" ? "quarantine" : verb, zone, host);
    this.dialog.showModal();
    byId(verb === "override" ? "order-verb" : "order-reason").focus();
  }

  /** Show another order of the same host. */
  turn(verb, zone, host) {
    const { go, text } = VERBS[verb];
    const begins = !ENDS.includes(verb);
    this.asked = { verb, zone, host, yes: false };
    write(byId("order-title"), `${go}: ${host}.${zone}`);
    write(byId("order-text"), text);
    byId("order-reason").required = begins;
    byId("order-weight").required = verb === "weight";
    byId("order-weight").disabled = verb !== "weight"; // what is hidden must not be judged
    clearTimeout(this.timer);
    show(byId("order-what"), begins);
    show(byId("order-until"), begins);
    show(byId("order-number"), verb === "weight");
    show(byId("order-after"), false);
    this.say("");
    write(byId("order-go"), go);
    this.preview(this.asked);
  }

  say(text) {
    write(byId("order-error"), text);
    show(byId("order-error"), Boolean(text));
  }

  /** Show what the order would change, where the server tells. */
  async preview(asked) {
    let told;
    try {
      told = await order(hostPath(asked.zone, asked.host, asked.verb), { dry_run: true, ...weightOf(asked) });
    } catch {
      return; // the order itself will say what is wrong
    }
    if (this.asked !== asked) return;
    byId("order-after").replaceChildren(...changes(told.pools ?? {}));
    show(byId("order-after"), true);
  }

  async send() {
    if (this.busy) return;
    this.busy = true;
    clearTimeout(this.timer);
    try {
      await this.carry(this.asked);
    } finally {
      this.busy = false;
    }
  }

  async carry(asked) {
    session.author = byId("order-author").value.trim();
    const body = { reason: byId("order-reason").value.trim(), ...weightOf(asked) };
    if (!ENDS.includes(asked.verb) && byId("order-for").value) body.for = byId("order-for").value;
    if (asked.yes) Object.assign(body, { yes: true, revision: asked.revision ?? {} });
    this.say("");
    try {
      const told = await order(hostPath(asked.zone, asked.host, asked.verb), body);
      this.dialog.close();
      const late = told.pending?.length ? `, but these workers are late: ${told.pending.join(", ")}` : "";
      const peers = told.peers?.length ? `, but ${told.peers.join(", ")} has not confirmed it yet` : "";
      const unkept = told.kept === false ? ", but it is not on disk: a restart forgets it" : "";
      this.done(`${asked.host} of ${asked.zone} ${VERBS[asked.verb].done}${late}${peers}${unkept}`, asked.zone, asked.host);
    } catch (error) {
      await this.failed(asked, error);
    }
  }

  async failed(asked, error) {
    if (error instanceof Refused && error.status === 401) {
      if (await this.tokens.ask(`${capital(error.message)}.`)) return this.carry(asked);
      this.say("Nothing was done: the server wants a token.");
    } else if (error instanceof Refused && error.status === 409 && error.body.confirm) {
      asked.yes = true;
      asked.revision = error.body.revision; // the yes is to what would happen by these orders
      this.say(`${capital(error.body.why)}: go on?`);
      write(byId("order-go"), `${VERBS[asked.verb].go} all the same`);
    } else if (error instanceof Refused) {
      this.say(capital(error.message));
    } else {
      this.say("The server does not answer: whether it was done will show once it does.");
    }
    return undefined;
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Where a pool would have no live host any more: "" everywhere, " on IPv4", or null. */
function without(before, after) {
  const lost = ["A", "AAAA"].filter((family) => after.last_resorts[family] && !before.last_resorts[family]);
  if (!lost.length) return null;
  return after.live.length ? ` on ${list(lost.map((family) => FAMILIES[family]))}` : "";
}

function weightOf({ verb }) {
  const text = byId("order-weight").value;
  return verb === "weight" && text !== "" ? { weight: Number(text) } : {};
}

/** What becomes of the shares: a table of the hosts whose shares change. */
function changes(pools) {
  const rows = [];
  const dead = [];
  for (const [zone, some] of Object.entries(pools)) {
    for (const [pool, { before, after }] of Object.entries(some)) {
      const lost = without(before, after);
      if (lost !== null) dead.push(`pool ${pool} of ${zone}${lost}`);
      let known = ""; // families that change alike are shown once
      for (const family of ["A", "AAAA"]) {
        const [old, fresh] = [before.shares[family] ?? {}, after.shares[family] ?? {}];
        const hosts = [...new Set([...Object.keys(old), ...Object.keys(fresh)])];
        const moved = hosts.filter((host) => Math.abs((old[host] ?? 0) - (fresh[host] ?? 0)) > 0.0005);
        const lines = moved.map((host) => [host, percent(old[host] ?? 0), percent(fresh[host] ?? 0)]);
        if (!lines.length || String(lines) === known) continue;
        known = String(lines);
        rows.push(...lines.map(([host, ...shares]) => ({ cells: [host, pool, family, ...shares] })));
      }
    }
  }
  const shown = dead.length ? [el("p", {}, `Nobody is live then in ${list(dead)}.`)] : [];
  if (!rows.length) return [...shown, el("p", {}, "No share changes.")];
  shown.push(table("Shares then", ["Host", "Pool", "Type", "Now", "Then"], rows.slice(0, SHOWN)));
  if (rows.length > SHOWN) shown.push(el("p", { class: "quiet" }, `and ${rows.length - SHOWN} more`));
  return shown;
}
