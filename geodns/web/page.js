/** The page: asks the server, draws what it says, and asks again when something happens. */

import { Refused, follow, read, session } from "./api.js";
import { OrderDialog, TokenDialog } from "./dialogs.js";
import { attribute, byId, show, write } from "./dom.js";
import { EventList } from "./events.js";
import { Headline } from "./headline.js";
import { OverruleDialog } from "./overrule.js";
import { drawPeers } from "./peers.js";
import { MOST } from "./routes.js";
import { summarize } from "./summary.js";
import { Why } from "./why.js";
import { clock, duration } from "./words.js";
import { Zones } from "./zones.js";

// All in ms.
const EVERY = 5000; // the status without an event
const HIDDEN_EVERY = 15000; // while nobody looks
const APART = 500; // two readings of the status, at least
const SETTLED = 1500; // after an event, when what it changes is compiled at the latest
const FIRST_BACKOFF = 250;
const BACKOFF = 2000; // at most
const SPARKS_EVERY = 60000;
const SKEW = 2000; // a clock that is off by less is not

const state = { status: null, offset: 0, heard: null, locked: false, version: null, drawn: 0 };

const tokens = new TokenDialog();
const why = new Why();
const overrule = new OverruleDialog(tokens, (text) => {
  events.tell(text);
  refresher.soon(0);
  sparks.soon(0);
});
const zones = new Zones(act, overrule);
const headline = new Headline((zone, host) => zones.go(zone, host), (text) => zones.set(text));
const events = new EventList();
const orders = new OrderDialog(tokens, (text, zone, host) => {
  events.tell(text);
  refresher.soon(0);
  const row = zones.kept.get(zone)?.hosts.kept.get(host);
  row?.node.focus({ preventScroll: true }); // its button is another one now
});

function act(verb, zone, host) {
  if (verb === "why") why.open(zone, host, state.status.hosts[zone][host]);
  else orders.open(verb, zone, host, state.status.hosts[zone][host].weight);
}

// --- reading the status ----------------------------------------------------------------------------------

/** Runs a reading again and again: each so often, sooner when asked, never two at once. */
class Refresher {
  constructor(work, every) {
    this.work = work;
    this.every = every;
    this.timer = null;
    this.due = Infinity;
    this.last = -Infinity;
    this.busy = false;
    this.backoff = FIRST_BACKOFF;
  }

  /** Have it run in so many ms, or before. */
  soon(delay) {
    const due = Math.max(performance.now() + delay, this.last + APART);
    if (this.busy) {
      this.due = Math.min(this.due, due);
      return;
    }
    if (this.timer !== null && due >= this.due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.run(), Math.max(0, due - performance.now()));
  }

  async run() {
    this.timer = null;
    this.due = Infinity;
    this.busy = true;
    this.last = performance.now();
    const good = await this.work();
    this.busy = false;
    this.backoff = good ? FIRST_BACKOFF : Math.min(BACKOFF, this.backoff * 2);
    const asked = this.due - performance.now();
    this.due = Infinity;
    this.soon(Math.min(asked, good ? this.every() : this.backoff));
  }
}

const refresher = new Refresher(refresh, () => (document.hidden ? HIDDEN_EVERY : EVERY));

async function refresh() {
  if (state.locked) return true;
  let status, at;
  try {
    [status, at] = await read("status");
  } catch (error) {
    failed(error);
    return false;
  }
  const offset = at - Date.now();
  state.offset = Math.abs(offset) > SKEW ? offset : 0;
  state.status = status;
  state.heard = new Date();
  // Another version has a page of its own.
  if (state.version !== null && state.version !== status.version && !document.querySelector("dialog[open]")) location.reload();
  state.version ??= status.version;
  try {
    draw();
  } catch (error) {
    console.error(error);
    away(`This page cannot show what the server says (${error.message}): reload it, or read /status.`);
    return false;
  }
  answering();
  return true;
}

function draw() {
  const begun = performance.now();
  const { status } = state;
  const now = Date.now() + state.offset;
  const summary = summarize(status, now);
  headline.draw(summary);
  zones.draw(status, now);
  drawPeers(status);
  write(byId("node"), status.node);
  const known = status.identity && status.identity !== status.node ? `identity ${status.identity} · ` : "";
  write(byId("server"), `${known}version ${status.version} · running for ${duration(status.uptime_s)}`);
  document.title = `${summary.level === "good" ? "" : `${summary.title} – `}geodns ${status.node}`;
  performance.measure("draw", { start: begun, end: performance.now() });
  if (!state.drawn++) performance.mark("first-status");
}

// --- a server that does not answer -----------------------------------------------------------------------

function answering() {
  show(byId("away"), false);
  attribute(document.body, "data-away", null);
  write(byId("clock-text"), `live, ${clock(state.heard)}`);
}

function failed(error) {
  if (error instanceof Refused && error.status === 401) {
    locked(error);
    return;
  }
  const why = error instanceof Refused ? `The server answers with an error: ${error.message}` : "No answer";
  const since = state.heard ? ` since ${clock(state.heard)}` : "";
  away(`${why}${since}; trying again. ${state.heard ? "What is shown is what was then." : ""}`);
}

function away(text) {
  write(byId("away"), text);
  show(byId("away"), true);
  attribute(document.body, "data-away", "");
  write(byId("clock-text"), "no answer");
  document.title = "No answer – geodns";
}

/** Reading wants a token: ask once, and wait. */
async function locked(error) {
  if (state.locked) return;
  state.locked = true;
  away("The server wants a token before it shows anything: give it with the button “Token…”.");
  if (await tokens.ask(`To read, too: ${error.message}.`)) unlocked();
}

function unlocked() {
  state.locked = false;
  refresher.soon(0);
  sparks.soon(0);
  stream();
}

byId("token-button").addEventListener("click", async () => {
  const text = session.token ? "This tab has a token. Another takes its place." : "Orders need one where the server has tokens.";
  if (await tokens.ask(text)) unlocked();
});

// --- events ----------------------------------------------------------------------------------------------

let following = null;

/** Follow the events while the page is seen; a browser has few connections to a server, for all its tabs. */
async function stream() {
  following?.abort();
  const own = (following = new AbortController());
  let pause = FIRST_BACKOFF;
  while (!own.signal.aborted && !document.hidden && !state.locked) {
    try {
      const [known] = await read(events.last ? `api/v1/events?after=${events.last}` : "api/v1/events?limit=100");
      if (own.signal.aborted) return;
      const fresh = events.last > 0;
      for (const event of known.events) events.add(event, { aloud: fresh });
      if (known.events.length && fresh) refresher.soon(0);
      pause = FIRST_BACKOFF;
      await follow(known.last, happened, own.signal);
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return;
      if (error instanceof Refused && error.status === 404) return; // a server without events
    }
    if (own.signal.aborted) return;
    refresher.soon(0); // is it still there?
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(BACKOFF, pause * 2);
  }
}

function happened(event) {
  if (!events.add(event, { aloud: true })) return;
  refresher.soon(0);
  setTimeout(() => refresher.soon(0), SETTLED);
  if (event.kind === "reputation") sparks.soon(SETTLED);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    following?.abort();
  } else {
    refresher.soon(0);
    stream();
  }
});

// --- sparklines ------------------------------------------------------------------------------------------

async function recent() {
  if (state.locked || !state.drawn) return true;
  try {
    const [history] = await read("api/v1/history/recent");
    zones.sparks(history.zones);
    const [warming] = await read("api/v1/warmup");
    zones.warmups(warming.zones);
    const [reputation] = await read("api/v1/reputation");
    zones.reputations(reputation);
    const [held] = await read("api/v1/experiments");
    zones.holds(held.experiments);
    const [routes] = await read(`api/v1/routes?since=1h&most=${MOST}`);
    zones.routes(routes);
  } catch (error) {
    if (!(error instanceof Refused)) return false;
  }
  return true;
}

const sparks = new Refresher(recent, () => SPARKS_EVERY);

refresher.run().then(() => {
  sparks.soon(0);
  stream();
});
