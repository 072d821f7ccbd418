/** Asking the server: its JSON, its stream of events, and the token that goes with both. */

const PATIENCE = 4000; // ms for an answer
const SILENCE = 40000; // ms: the stream says something each 15 s

/** An answer that is an error; `status` is HTTP's, `body` what came with it. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error || `the server answers ${status}`);
    this.status = status;
    this.body = body ?? {};
  }
}

/** Why something was not answered, as people read it. */
export const trouble = (error) => (error instanceof Refused ? error.message : "The server does not answer.");

/** What this tab remembers, and no other; gone with it. */
export const session = {
  get token() { return sessionStorage.getItem("geodns-token") ?? ""; },
  set token(value) { put("geodns-token", value); },
  get author() { return sessionStorage.getItem("geodns-author") ?? ""; },
  set author(value) { put("geodns-author", value); },
};

function put(key, value) {
  if (value) sessionStorage.setItem(key, value);
  else sessionStorage.removeItem(key);
}

function headers(more = {}) {
  const { token } = session;
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function answered(response) {
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

/** Read a path; returns [JSON, the server's time in ms]. Throws Refused, or what fetch throws. */
export async function read(path) {
  const response = await fetch(path, { headers: headers(), cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  return [await answered(response), Date.parse(response.headers.get("Date")) || Date.now()];
}

/** Send an order; returns JSON. Throws as `read`. */
export async function order(path, body) {
  // A header takes no other letters.
  const author = session.author.normalize("NFKD").replace(/[^\x20-\x7e]/g, "").trim() || "page";
  const response = await fetch(path, {
    method: "POST",
    headers: headers({ "Content-Type": "application/json", "X-Geodns-Author": author }),
    body: JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE * 3),
  });
  return answered(response);
}

/**
 * Follow the events after one until the stream ends.
 * Not by EventSource: that cannot show a token but in the address.
 * @param {number} after the id of the last event known
 * @param {(event: object) => void} tell
 * @param {AbortSignal} signal ends it
 */
export async function follow(after, tell, signal) {
  const ended = new AbortController();
  const end = () => ended.abort();
  signal.addEventListener("abort", end, { once: true });
  let watch = setTimeout(end, SILENCE);
  try {
    const response = await fetch("api/v1/events/stream", {
      headers: headers({ "Last-Event-ID": String(after) }),
      cache: "no-store",
      signal: ended.signal,
    });
    if (!response.ok) throw new Refused(response.status, await response.json().catch(() => null));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(end, SILENCE);
      const frames = (rest + value).split("\n\n");
      rest = frames.pop();
      for (const frame of frames) {
        const data = frame.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
        if (data.length) tell(JSON.parse(data.join("\n")));
      }
    }
  } finally {
    clearTimeout(watch);
    signal.removeEventListener("abort", end);
    ended.abort();
  }
}

export const hostPath = (zone, host, verb) =>
  `api/v1/hosts/${encodeURIComponent(zone)}/${encodeURIComponent(host)}/${verb}`;
