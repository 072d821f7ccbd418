/** Sparklines: thirty minutes in the space of a word. */

import { svg } from "./dom.js";

const WIDTH = 84;
const HEIGHT = 20;
const POINTS = 30;

/** A picture with nothing drawn yet; the number beside it says the same to those who do not see it. */
export function picture() {
  const shape = { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": true };
  return svg("svg", shape, svg("path", { class: "area" }), svg("path", { class: "line" }));
}

/** A line in a picture. */
export class Spark {
  constructor(shown) {
    [this.area, this.line] = shown.children;
    this.drawn = "";
  }

  /** Draw values, oldest first; null is a gap. */
  draw(values = []) {
    const key = values.join();
    if (key === this.drawn) return;
    this.drawn = key;
    const shown = values.slice(-POINTS);
    const top = Math.max(...shown.map((value) => value ?? 0), 1e-9);
    const start = POINTS - shown.length;
    const x = (at) => (((start + at) / (POINTS - 1)) * (WIDTH - 3) + 1.5).toFixed(1);
    const y = (value) => (HEIGHT - 2 - (value / top) * (HEIGHT - 4)).toFixed(1);
    let line = "";
    let area = "";
    let from = null;
    shown.forEach((value, at) => {
      if (value === null) return;
      const fresh = from === null;
      if (fresh) from = at;
      line += `${fresh ? "M" : "L"}${x(at)} ${y(value)}`;
      if (at + 1 < shown.length && shown[at + 1] !== null) return;
      if (at === from) line += "h.1"; // one point alone
      else area += `M${x(from)} ${HEIGHT - 1}${shown.slice(from, at + 1).map((one, step) => `L${x(from + step)} ${y(one)}`).join("")}L${x(at)} ${HEIGHT - 1}Z`;
      from = null;
    });
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
  }
}
