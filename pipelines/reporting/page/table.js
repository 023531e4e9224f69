// A table that sorts by its headings and shows the rows that have the typed words.
//
// columns: {label, value(row) to sort by, show(row) text or node, text: whether words, head: row heading,
// keyed: whether a line of its colour stands before it, wide: whether it wraps, title}

function table({ name, columns, rows, sorted = null, filter = rows.length > 5, tall = rows.length > 24 }) {
  const body = el("tbody");
  const told = el("span", { class: "note", role: "status" });
  const lines = rows.map((row) => {
    const cells = columns.map((column) =>
      el(column.head ? "th" : "td", { class: [column.text && "text", column.wide && "wide", column.keyed && "keyed"].filter(Boolean).join(" ") || null, scope: column.head ? "row" : null },
        column.show(row)));
    const line = el("tr", {}, cells);
    return { row, line, words: columns.map((column) => column.value(row) ?? "").concat(line.textContent).join(" ").toLowerCase() };
  });
  const headings = columns.map((column, place) =>
    el("th", { scope: "col", class: column.text ? "text" : null, "aria-sort": "none" },
      el("button", { type: "button", title: column.title, onclick: () => turn(place) }, column.label)));
  let by = null;

  function turn(place) {
    const words = columns[place].text;
    const down = by && by.place === place ? !by.down : !words && !columns[place].up;
    sort(place, down);
  }
  function sort(place, down) {
    by = { place, down };
    headings.forEach((heading, at) => heading.setAttribute("aria-sort", at === place ? (down ? "descending" : "ascending") : "none"));
    const value = columns[place].value;
    const order = lines.map((line, at) => ({ line, at, of: value(line.row) }));
    order.sort((one, other) => {
      if (!known(one.of) || !known(other.of)) return known(other.of) - known(one.of) || one.at - other.at; // unknown last
      const less = columns[place].text ? String(one.of).localeCompare(String(other.of), "en", { numeric: true }) : one.of - other.of;
      return (down ? -less : less) || one.at - other.at;
    });
    body.append(...order.map((one) => one.line.line));
  }
  function show(words) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const one of lines) {
      const there = wanted.every((word) => one.words.includes(word));
      one.line.hidden = !there;
      shown += there;
    }
    told.textContent = wanted.length ? `${shown} of ${lines.length}` : "";
  }
  body.append(...lines.map((one) => one.line));
  if (sorted) sort(...sorted);
  const box = el("div", { class: tall ? "box tall" : "box", role: "region", tabindex: "0", "aria-label": name },
    el("table", { "aria-label": name }, el("thead", {}, el("tr", {}, headings)), body));
  if (!filter) return box;
  const input = el("input", { type: "search", placeholder: "words in a row", autocomplete: "off", oninput: (event) => show(event.target.value) });
  return el("div", {}, el("div", { class: "bar filter" }, el("label", {}, "Filter: " + name.toLowerCase(), input), told), box);
}
