/** The dialog that overrules reputation: ignore something for a host, or another mode for a zone, for a while. */

import { Refused, order, session, trouble } from "./api.js";
import { prepare } from "./dialogs.js";
import { byId, el, show, write } from "./dom.js";

const TEXTS = {
  ignore: "Nothing is done to it for this while the order lasts, and what was done ends at once.",
  counts: "It counts again from now on.",
  observe: "Nothing is done to hosts of the zone for their reputation while the order lasts; what was done ends at once. What would be done is still shown.",
  act: "Reputation lowers weights, bars hosts for providers and quarantines them while the order lasts, within max_out.",
  file: "The mode of the zone file holds again.",
};

/** Asks what to overrule, for how long and why, and gives the order. */
export class OverruleDialog {
  /**
   * @param {TokenDialog} tokens
   * @param {(text: string) => void} done is told what was done
   */
  constructor(tokens, done) {
    this.tokens = tokens;
    this.done = done;
    this.dialog = prepare("overrule", () => this.send());
    this.asked = null;
    this.busy = false;
  }

  /** Ask to ignore one of some rules for a host ("": all of them), or to end that. */
  ignore(zone, host, rules, rule, ending = false) {
    const options = ["", ...rules].map((name) => el("option", { value: name, selected: name === rule }, name || "everything that stands against it"));
    byId("overrule-rule").replaceChildren(...options);
    byId("overrule-rule").disabled = ending;
    this.open({ path: "ignore", body: { zone, host }, ending, told: ending ? `Reputation of ${host} of ${zone} counts again` : `Reputation of ${host} of ${zone} is ignored` },
      `${ending ? "End ignoring" : "Ignore"}: ${host}.${zone}`, ending ? TEXTS.counts : TEXTS.ignore, ending ? "End it" : "Ignore");
  }

  /** Ask for a mode, or to end an order of one. */
  mode(zone, mode, ending = false) {
    this.open({ path: "mode", body: { zone, mode }, ending, told: `Reputation of ${zone}: ${ending ? "the zone file's mode" : `mode ${mode}`}` },
      ending ? `End the order: ${zone}` : `Mode ${mode}: ${zone}`, ending ? TEXTS.file : TEXTS[mode], ending ? "End it" : mode === "act" ? "Act" : "Only observe");
  }

  open(asked, title, text, go) {
    this.asked = asked;
    write(byId("overrule-title"), title);
    write(byId("overrule-text"), text);
    write(byId("overrule-go"), go);
    show(byId("overrule-what"), asked.path === "ignore");
    show(byId("overrule-until"), !asked.ending);
    byId("overrule-reason").value = "";
    byId("overrule-author").value = session.author;
    this.say("");
    this.dialog.showModal();
    byId("overrule-reason").focus();
  }

  say(text) {
    write(byId("overrule-error"), text);
    show(byId("overrule-error"), Boolean(text));
  }

  async send() {
    if (this.busy) return;
    this.busy = true;
    try {
      await this.carry(this.asked);
    } finally {
      this.busy = false;
    }
  }

  async carry(asked) {
    session.author = byId("overrule-author").value.trim();
    const body = { ...asked.body, for: asked.ending ? 0 : byId("overrule-for").value, reason: byId("overrule-reason").value.trim() };
    if (asked.path === "ignore") body.rule = byId("overrule-rule").value || null;
    this.say("");
    try {
      await order(`api/v1/reputation/${asked.path}`, body);
      this.dialog.close();
      this.done(asked.told);
    } catch (error) {
      if (error instanceof Refused && error.status === 401 && (await this.tokens.ask(`${error.message}.`))) return this.carry(asked);
      this.say(error instanceof Refused && error.status === 401 ? "Nothing was done: the server wants a token." : trouble(error));
    }
    return undefined;
  }
}
