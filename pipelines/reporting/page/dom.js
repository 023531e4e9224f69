// Elements, numbers in words, and colours. Text goes in as text, never as markup.

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const known = (value) => value !== null && value !== undefined;
const percent = (value) => (known(value) ? (100 * value).toFixed(1).replace("-", "−") : "–");
const capital = (words) => words.slice(0, 1).toUpperCase() + words.slice(1);
const count = (value) => (known(value) ? value.toLocaleString("en-US") : "–");
function brief(value) {
  if (!known(value)) return "–";
  for (const unit of ["", " k", " M", " G"]) {
    if (value < 999.5) return Number(value.toPrecision(3)) + unit;
    value /= 1000;
  }
  return Number(value.toPrecision(3)) + " T";
}
function duration(seconds) {
  if (!known(seconds)) return "–";
  if (seconds < 100) return Number(seconds.toPrecision(3)) + " s";
  const pad = (value) => String(Math.floor(value)).padStart(2, "0");
  if (seconds < 3600) return Math.floor(seconds / 60) + ":" + pad(seconds % 60) + " min";
  return Math.floor(seconds / 3600) + ":" + pad((seconds / 60) % 60) + " h";
}
const chance = (p) => (known(p) ? (p < 0.001 ? "< 0.001" : p.toFixed(3)) : "–");
const chanceSaid = (p) => (p < 0.001 ? "p\u00a0<\u00a00.001" : `p\u00a0=\u00a0${chance(p)}`);
const signed = (value) => (value > 0 ? "+" : "") + percent(value);

// Colour and dash of the series of a number: six colours, then the same dashed.
const DASHES = [null, "6 3", "1.5 3", "8 3 1.5 3"];
const colourOf = (place) => DATA.colours[place % DATA.colours.length];
const dashOf = (place) => DASHES[Math.floor(place / DATA.colours.length) % DASHES.length];
function keyOf(place) {
  return svg("svg", { class: "key series", viewBox: "0 0 27 10", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 27, y1: 5, y2: 5, stroke: colourOf(place), "stroke-width": 3, "stroke-dasharray": dashOf(place) }));
}
