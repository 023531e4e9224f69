// Segments by true and predicted class. Pointer, or arrow keys when it has the focus, choose a cell.

function matrix(names, { shown, cells, instances }) {
  const size = shown.length, readout = el("p", { class: "readout", role: "status" });
  const counts = new Map(cells.map(([row, column, of]) => [row * size + column, of]));
  const total = (row) => instances[shown[row]];
  const name = (at) => names[shown[at]];
  const named = size <= 45, written = size <= 16;
  const short = (word, most) => (word.length > most ? word.slice(0, most - 1) + "…" : word);
  const letters = named ? Math.min(18, Math.max(...shown.map((at) => names[at].length))) : 0;
  const cell = named ? Math.max(16, Math.min(44, Math.round(520 / size))) : 520 / size;
  const room = named ? 14 + letters * 6.6 : 22;
  const side = room + cell * size + 2;
  const sheet = svg("svg", { viewBox: `0 0 ${side} ${side}`, width: side, class: named ? null : "whole", style: named ? `min-width:${Math.round(0.85 * side)}px` : null, tabindex: 0, role: "application", "aria-roledescription": "confusion matrix", "aria-label": "Confusion matrix; arrow keys choose a cell" });
  const ground = svg("rect", { x: room, y: room, width: cell * size, height: cell * size, fill: "var(--tint)" });
  sheet.append(ground);
  for (const [row, column, of] of cells) {
    const share = of / Math.max(1, total(row)), strong = 0.08 + 0.92 * Math.sqrt(share);
    sheet.append(svg("rect", { x: room + column * cell, y: room + row * cell, width: cell - (named ? 1 : 0), height: cell - (named ? 1 : 0), fill: `rgba(var(--heat), ${total(row) ? strong.toFixed(3) : 0.3})` }));
    if (written) sheet.append(svg("text", { x: room + (column + 0.5) * cell, y: room + row * cell + cell / 2 + 4, "text-anchor": "middle", style: `font-size:11px;fill:${strong > 0.6 ? "var(--paper)" : "var(--ink)"}` }, String(of)));
  }
  if (named) for (let at = 0; at < size; at++) sheet.append(
    svg("text", { x: room - 6, y: room + at * cell + cell / 2 + 4, "text-anchor": "end", class: "tick" }, short(name(at), letters), svg("title", {}, name(at))),
    svg("text", { transform: `translate(${room + at * cell + cell / 2 + 4} ${room - 6}) rotate(-90)`, class: "tick" }, short(name(at), letters), svg("title", {}, name(at))));
  else sheet.append(
    svg("text", { x: room, y: room - 7 }, "predicted →"),
    svg("text", { transform: `translate(${room - 8} ${room + 30}) rotate(-90)`, "text-anchor": "middle" }, "← true"));
  const cursor = svg("rect", { width: cell, height: cell, fill: "none", stroke: "var(--mark)", "stroke-width": 2, visibility: "hidden" });
  sheet.append(cursor);
  let at = [0, 0];
  function choose(row, column) {
    at = [Math.max(0, Math.min(size - 1, row)), Math.max(0, Math.min(size - 1, column))];
    const of = counts.get(at[0] * size + at[1]) || 0, whole = total(at[0]);
    cursor.setAttribute("x", room + at[1] * cell);
    cursor.setAttribute("y", room + at[0] * cell);
    cursor.setAttribute("visibility", "visible");
    readout.replaceChildren(el("b", {}, name(at[0])), " taken for ", el("b", {}, name(at[1])),
      whole ? `: ${count(of)} of ${count(whole)}, ${percent(of / whole)} %` : `: ${count(of)}; it does not occur`);
  }
  sheet.addEventListener("pointermove", (event) => {
    const box = sheet.getBoundingClientRect(), scale = side / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale - room) / cell), row = Math.floor(((event.clientY - box.top) * scale - room) / cell);
    if (row >= 0 && column >= 0 && row < size && column < size) choose(row, column);
  });
  sheet.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    choose(at[0] + move[0], at[1] + move[1]);
  });
  sheet.addEventListener("focus", () => choose(...at));
  const figure = el("figure", { class: "chart matrix" }, el("figcaption", {}, "Confusion matrix"),
    el("p", { class: "note" }, "Lines: true class, columns: predicted class. The stronger the colour, the larger the part of the true class."),
    el("div", { class: "box plain" }, sheet), readout);
  return figure;
}
