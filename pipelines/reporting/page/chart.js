// Lines and points over two axes, drawn for the width that there is.
//
// x, y: {label, log, percent, low, high}; series: {name, place, lines: [[[x…], [y…]]…], points: [{x, y, low, high, said}]}

function ticksOf(low, high, log, most) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      for (const part of high / low > 300 ? [1] : [1, 2, 5]) found.push(part * 10 ** power);
    return found.filter((at) => at >= low * 0.999 && at <= high * 1.001);
  }
  const raw = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((part) => part * power >= raw * 0.999) * power;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-6; at++) found.push(Number((at * step).toPrecision(12)));
  return found;
}

// Whether values are far enough apart for a logarithmic axis.
const wide = (values) => Math.max(...values) / Math.min(...values) > 3;

function rangeOf(values, axis) {
  let low = axis.low ?? Math.min(...values), high = axis.high ?? Math.max(...values);
  if (!isFinite(low) || !isFinite(high)) [low, high] = axis.log ? [1, 10] : [0, 1];
  if (axis.log) return low === high ? [low / 2, high * 2] : [low / 1.25, high * 1.25];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 10, high + (Math.abs(high) || 1) / 10];
  const room = (high - low) * 0.05;
  return [axis.low ?? Math.max(low - room, low < 0 ? -Infinity : 0), axis.high ?? (axis.percent ? Math.min(1, high + room) : high + room)];
}

function chart({ caption, x, y, series, square = false, fine = true }) {
  const place = el("div");
  const readout = el("p", { class: "readout" });
  x = { ...x, log: x.log && wide(series.flatMap((one) => (one.points || []).map((at) => at.x))) };
  const all = (pick) => series.flatMap((one) => [...(one.lines || []).flatMap((line) => line[pick]), ...(one.points || []).flatMap((at) => (pick ? [at.y, at.low, at.high].filter(known) : [at.x]))]);
  const [left, right] = rangeOf(all(0), x), [bottom, top] = rangeOf(all(1), y);
  const drawn = new Map();
  const say = (value, axis) => (axis.percent ? Number((100 * value).toPrecision(4)) + "" : axis.log || value >= 10000 ? brief(value) : String(value));

  function draw(width) {
    const height = Math.round(square ? Math.min(width, 380) : Math.min(330, Math.max(220, width * 0.62)));
    const edge = { left: 48, right: 10, top: 8, bottom: 42 };
    const part = (value, low, high, log) => (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
    const across = (value) => edge.left + part(value, left, right, x.log) * (width - edge.left - edge.right);
    const up = (value) => height - edge.bottom - part(value, bottom, top, y.log) * (height - edge.top - edge.bottom);
    const sheet = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": caption });
    for (const at of ticksOf(bottom, top, y.log, 5)) sheet.append(
      svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: up(at), y2: up(at) }),
      svg("text", { x: edge.left - 7, y: up(at) + 4, "text-anchor": "end" }, say(at, y)));
    for (const at of ticksOf(left, right, x.log, Math.max(3, Math.floor(width / 90)))) if (x.log || !x.whole || Number.isInteger(at)) sheet.append(
      svg("line", { class: "axis", x1: across(at), x2: across(at), y1: height - edge.bottom, y2: height - edge.bottom + 4 }),
      svg("text", { x: across(at), y: height - edge.bottom + 18, "text-anchor": "middle" }, say(at, x)));
    sheet.append(
      svg("line", { class: "axis", x1: edge.left, x2: width - edge.right, y1: height - edge.bottom, y2: height - edge.bottom }),
      svg("text", { x: (edge.left + width - edge.right) / 2, y: height - 4, "text-anchor": "middle" }, x.label),
      svg("text", { transform: `translate(11 ${(height - edge.bottom + edge.top) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label));
    const spots = [];
    series.forEach((one) => {
      const group = svg("g", { class: "series", stroke: colourOf(one.place), fill: "none" });
      for (const line of one.lines || []) {
        const corners = line[0].map((value, at) => [across(value), up(line[1][at])]);
        corners.forEach((corner, at) => spots.push({ corner, one, said: `${x.label} ${say(line[0][at], x)}, ${y.label} ${y.percent ? percent(line[1][at]) : Number(line[1][at].toPrecision(4))}` }));
        group.append(svg("path", { d: "M" + corners.map((corner) => corner.map((value) => value.toFixed(1)).join(" ")).join("L"), "stroke-width": one.lines.length > 1 ? 1.4 : 2, "stroke-dasharray": dashOf(one.place), "stroke-linejoin": "round", opacity: one.lines.length > 1 ? 0.75 : 1 }));
        if (corners.length < 3) for (const [cx, cy] of corners) group.append(svg("circle", { cx, cy, r: 2.5, fill: colourOf(one.place) }));
      }
      for (const at of one.points || []) {
        const corner = [across(at.x), up(at.y)];
        if (known(at.low)) group.append(svg("line", { x1: corner[0], x2: corner[0], y1: up(at.low), y2: up(at.high), "stroke-width": 1.6, opacity: 0.7 }));
        group.append(svg("circle", { cx: corner[0], cy: corner[1], r: 6, fill: colourOf(one.place), stroke: "var(--paper)", "stroke-width": 1.5, tabindex: 0, role: "img", "aria-label": `${one.name}: ${at.said}`, onfocus: () => tell({ one, said: at.said }) }, svg("title", {}, `${one.name}: ${at.said}`)));
        spots.push({ corner, one, said: at.said });
      }
      drawn.set(one, group);
      sheet.append(group);
    });
    sheet.addEventListener("pointermove", (event) => {
      const box = sheet.getBoundingClientRect(), scale = width / box.width;
      const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      let best = null, least = 900;
      for (const spot of spots) {
        const away = (spot.corner[0] - px) ** 2 + (spot.corner[1] - py) ** 2;
        if (away < least) [best, least] = [spot, away];
      }
      tell(best);
    });
    sheet.addEventListener("pointerleave", () => tell(null));
    place.replaceChildren(sheet);
    dim(kept);
  }
  function tell(spot) {
    dim(spot ? spot.one : kept);
    readout.replaceChildren(...(spot ? [el("b", {}, spot.one.name), ": " + spot.said] : []));
  }
  function dim(only) {
    for (const [one, group] of drawn) group.classList.toggle("dim", Boolean(only) && one.name !== only.name);
  }
  // What a press chose stays when the pointer has been at another line, and in another width.
  const highlight = (only) => dim((kept = only));
  let last = 0, kept = null;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width && width !== last) draw((last = width));
  }).observe(place);
  return { node: el("figure", { class: "chart" }, el("figcaption", {}, caption), place, readout), highlight };
}

// Names of series; a press shows one in all charts, another press all of them again.
function legend(series, charts) {
  const buttons = series.map((one) => el("button", { type: "button", "aria-pressed": "false", onclick: () => press(one) }, keyOf(one.place), one.name));
  let only = null;
  function press(one) {
    only = only === one ? null : one;
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", series[at] === only));
    charts.forEach((of) => of.highlight(only));
  }
  return el("ul", { class: "legend", "aria-label": "Series" }, buttons.map((button) => el("li", {}, button)));
}
