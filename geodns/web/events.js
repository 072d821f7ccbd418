/** Events: the last of them, the newest first, and told to those who listen rather than look. */

import { byId, el, icon, show } from "./dom.js";
import { clock } from "./words.js";

const MOST = 100;
const TOLD = 3; // at once; of a storm the number must do
const TELL_EVERY = 1000;
const ALOUD = new Set(["state", "forced", "refused", "prober", "worker", "waiting", "watch"]);

const LEVELS = { up: "good", down: "bad", warn: "warn", out: "note" };

function sign({ kind, data }) {
  if (kind === "state") return { up: "up", down: "down", shedding: "warn" }[data?.after] ?? "unknown";
  if (kind === "forced") return "out";
  return { refused: "warn", prober: "warn", worker: "warn", watch: "warn", waiting: "warn" }[kind] ?? null;
}

export class EventList {
  constructor() {
    this.list = byId("events");
    this.last = 0;
    this.waiting = [];
    this.timer = null;
  }

  /** Put an event on top; with `aloud` it is told as well. Returns whether it was new. */
  add(event, { aloud = false } = {}) {
    if (event.id <= this.last) return false;
    this.last = event.id;
    const at = new Date(event.at);
    const kind = sign(event);
    this.list.prepend(el("li", { "data-kind": event.kind, "data-level": LEVELS[kind] ?? null, "data-id": event.id, "data-drawn": Date.now() },
      el("p", { class: "when" }, kind ? icon(kind) : null, el("time", { datetime: event.at }, clock(at)), el("span", { class: "badge" }, event.kind)),
      el("p", { class: "what" }, event.text)));
    while (this.list.childElementCount > MOST) this.list.lastElementChild.remove();
    show(byId("events-none"), false);
    if (aloud && ALOUD.has(event.kind)) this.tell(event.text);
    return true;
  }

  /** Have a screen reader say something, and not each of many things. */
  tell(text) {
    this.waiting.push(text);
    this.timer ??= setTimeout(() => {
      const more = this.waiting.length - TOLD;
      const said = this.waiting.slice(0, TOLD).join(". ");
      byId("told").textContent = more > 0 ? `${said}. And ${more} more.` : said;
      this.waiting = [];
      this.timer = null;
    }, TELL_EVERY);
  }
}
