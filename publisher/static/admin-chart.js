// A line chart of the last minutes, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 140;
const MARGIN = 6; // above the highest point and below the axis

const format = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** A chart of one figure over the last `minutes`. */
export class Chart {
  #points = []; // [milliseconds since 1970, value]
  #minutes;
  #name;
  #area = shape("path", "area");
  #trace = shape("path", "trace");
  #drawing = document.createElementNS(SVG, "svg");
  #most = document.createElement("span");

  constructor(place, name, minutes) {
    this.#name = name;
    this.#minutes = minutes;
    for (const [attribute, value] of Object.entries({
      class: "chart",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
    })) {
      this.#drawing.setAttribute(attribute, value);
    }
    for (const share of [0, 0.5, 1]) this.#drawing.append(gridLine(MARGIN + share * (HEIGHT - 2 * MARGIN)));
    this.#drawing.append(this.#area, this.#trace);
    place.replaceChildren(axis(this.#most), this.#drawing, axis(text(`${this.#minutes} minutes ago`), text("now")));
  }

  /** Add the value of this moment and draw the chart again. */
  add(value) {
    const now = Date.now();
    const span = this.#minutes * 60_000;
    this.#points = [...this.#points.filter(([at]) => at > now - span), [now, value]];
    const most = Math.max(...this.#points.map(([, each]) => each));
    const top = niceTop(most);
    const x = (at) => (WIDTH - ((now - at) * WIDTH) / span).toFixed(1);
    const y = (each) => (HEIGHT - MARGIN - (each / top) * (HEIGHT - 2 * MARGIN)).toFixed(1);
    const line = this.#points.map(([at, each]) => `${x(at)} ${y(each)}`).join("L");
    this.#trace.setAttribute("d", `M${line}`);
    this.#area.setAttribute("d", `M${x(this.#points[0][0])} ${HEIGHT - MARGIN}L${line}L${WIDTH} ${HEIGHT - MARGIN}Z`);
    this.#most.textContent = format.format(top);
    const label = `${this.#name}: ${format.format(value)} now, at most ${format.format(most)} in the last ${this.#minutes} minutes`;
    this.#drawing.setAttribute("aria-label", label);
  }
}

/** The first of 1, 2, 5, 10, 20, 50 … that is not below a value. */
function niceTop(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
}

function shape(name, className) {
  const element = document.createElementNS(SVG, name);
  element.setAttribute("class", className);
  return element;
}

function gridLine(y) {
  const line = shape("line", "grid");
  for (const [attribute, value] of Object.entries({ x1: 0, x2: WIDTH, y1: y, y2: y })) line.setAttribute(attribute, value);
  return line;
}

function axis(...parts) {
  const element = document.createElement("div");
  element.className = "axis";
  element.append(...parts);
  return element;
}

function text(content) {
  const element = document.createElement("span");
  element.textContent = content;
  return element;
}
