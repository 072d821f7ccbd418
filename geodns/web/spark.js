/** Sparklines: thirty minutes in the space of a word. */

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 84;
const HEIGHT = 20;
const POINTS = 30;

/** A picture with nothing drawn yet; the number beside it says the same to those who do not see it. */
export function picture() {
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("aria-hidden", "true");
  for (const kind of ["area", "line"]) svg.appendChild(document.createElementNS(SPACE, "path")).setAttribute("class", kind);
  return svg;
}

/** A line in a picture. */
export class Spark {
  constructor(svg) {
    [this.area, this.line] = svg.children;
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
