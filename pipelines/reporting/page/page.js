// The page, section by section.

const main = document.getElementById("main");
const figureName = DATA.words;
const rows = DATA.configurations;
const links = el("nav", { "aria-label": "Sections" });

function section(id, heading, ...children) {
  links.append(el("a", { href: "#" + id }, heading));
  main.append(el("section", { id, "aria-labelledby": id + "-h" }, el("h2", { id: id + "-h" }, heading), ...children));
}
const note = (text) => el("p", { class: "note" }, text);

// The head: what was compared, and the answer in a sentence.
function heading() {
  const [best, next] = [...rows].sort((one, other) => other.mean - one.mean), runs = rows.reduce((sum, row) => sum + row.runs.length, 0);
  const interval = known(best.low) ? ` (95 % interval ${percent(best.low)}–${percent(best.high)})` : "";
  const lead = el("p", { class: "lead" }, el("b", {}, best.label), ` has ${percent(best.mean)} %${interval}.`);
  if (next) {
    const test = rows.find((row) => known(row.p) && (row === next || row === best));
    const sure = test ? (test.p < 0.05 ? `, ${chanceSaid(test.p)}` : `, which may be chance (${chanceSaid(test.p)})`) : "";
    lead.append(` It is ${percent(best.mean - next.mean)} points above ${next.label}${test && DATA.reference === (test === next ? best : next).label ? sure : ""}.`);
  }
  const clips = known(DATA.clips) ? `${count(DATA.clips)} ${DATA.clips === 1 ? "clip" : "clips"} of ${DATA.split}` : `split ${DATA.split}`;
  document.getElementById("head").append(lead,
    note(`${DATA.dataset} · ${figureName} · ${clips} · ${rows.length} ${rows.length === 1 ? "configuration" : "configurations"}, ${runs} ${runs === 1 ? "run" : "runs"}`),
    ...DATA.notes.map((text) => el("p", { class: "note warn" }, text)), links);
}

const ends = rows.flatMap((row) => [row.low ?? row.mean, row.high ?? row.mean]);
const [lowest, highest] = [Math.min(...ends), Math.max(...ends)];
function spanOf(row) {
  const at = (value) => 4 + (112 * (value - lowest)) / (highest - lowest || 1);
  return svg("svg", { class: "span series", viewBox: "0 0 120 14", "aria-hidden": "true", stroke: colourOf(row.place) },
    known(row.low) ? svg("line", { x1: at(row.low), x2: at(row.high), y1: 7, y2: 7, "stroke-width": 2 }) : null,
    svg("circle", { cx: at(row.mean), cy: 7, r: 4, fill: colourOf(row.place), stroke: "none" }));
}

const headColumn = { label: "head", head: true, keyed: true, text: true, value: (row) => row.label, show: (row) => [keyOf(row.place), row.label] };
const number = (label, name, say, more = {}) => ({ label, value: (row) => row[name], show: (row) => say(row[name]), ...more });

function comparison() {
  const columns = [headColumn, number("n", "n", count, { title: "runs, one a seed" }),
    { label: DATA.short + " % ± sd", value: (row) => row.mean, show: (row) => percent(row.mean) + (known(row.deviation) ? " ± " + percent(row.deviation) : "") }];
  if (rows.some((row) => known(row.low))) columns.push({ label: "95 % interval", value: (row) => row.low, show: (row) => (known(row.low) ? [`${percent(row.low)}–${percent(row.high)}`, spanOf(row)] : "–") });
  if (rows.length > 1) columns.push(
    { label: "differs", title: "points to " + DATA.reference, value: (row) => row.difference, show: (row) => (row.label === DATA.reference ? "–" : (row.difference > 0 ? "+" : "") + percent(row.difference)) },
    ...(rows.some((row) => known(row.p)) ? [number("p", "p", chance, { up: true })] : []));
  if (rows.some((row) => known(row.together))) columns.push(number("together", "together", percent, { title: "mean softmax of all seeds" }));
  columns.push(number("weights", "parameters", brief, { up: true, title: "trainable parameters of the head" }));
  if (rows.some((row) => known(row.operations))) columns.push(number("backbone", "operations", brief, { up: true, title: "multiply-adds of the backbone, one view" }));
  columns.push(number("time", "seconds", duration, { up: true, title: "of a training" }));
  const corrected = rows.length > 2 ? `, corrected by Holm for ${rows.length - 1} tests` : "";
  const how = known(DATA.clips)
    ? `95 % interval: bootstrap over ${DATA.units}. p: paired permutation test against ${DATA.reference}${corrected}.`
    : "This figure is no mean over clips: it has no interval here, and no test.";
  section("comparison", "Which head is better?", note(rows.length > 1 || !known(DATA.clips) ? how : how.split(". p:")[0] + "."), table({ name: "Configurations", columns, rows }));
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))];
  for (const target of new Set(metrics.map((of) => of.split("/")[0]))) {
    const those = metrics.filter((of) => of.startsWith(target + "/"));
    const label = (of) => of.slice(target.length + 1).replace(/[/_]/g, " ").replace(/top(?=\d)/, "top-");
    main.lastChild.append(el("h3", {}, `All metrics of ${target}, %`), table({
      name: "Metrics of " + target, rows, columns: [headColumn, ...those.map((of) => ({ label: label(of), value: (row) => row.metrics[of], show: (row) => percent(row.metrics[of]) }))] }));
  }
}

function curves() {
  const charts = Object.entries(DATA.curves).map(([column, label]) => chart({
    caption: capital(label) + " over epochs", x: { label: "epoch", whole: true }, y: { label, percent: column !== "val/loss" },
    series: rows.map((row) => ({ name: row.label, place: row.place, lines: row.curves[column] || [] })) }));
  if (!charts.length) return;
  section("curves", "How did they learn?", note(rows.some((row) => row.runs.length > 1) ? "Every seed is a line." : "Press a name to see one alone."),
    legend(rows.map((row) => ({ name: row.label, place: row.place })), charts), el("div", { class: "pair" }, charts.map((of) => of.node)));
}

function cost() {
  const panels = [["parameters", "trainable parameters of the head"], ["operations", "multiply-adds of the backbone, one view"]].filter(([name]) => new Set(rows.map((row) => row[name]).filter(Boolean)).size > 1);
  const charts = panels.map(([name, label]) => chart({
    caption: `${figureName} against ${label}`, x: { label, log: true }, y: { label: DATA.short + " %", percent: true },
    series: rows.filter((row) => row[name]).map((row) => ({ name: row.label, place: row.place, points: [{ x: row[name], y: row.mean, low: row.low, high: row.high, said: `${percent(row.mean)} %, ${brief(row[name])}` }] })) }));
  if (!charts.length) return;
  section("cost", "What does accuracy cost?", rows.some((row) => known(row.low)) ? note("Lines through the points are 95 % intervals.") : null, el("div", { class: "pair" }, charts.map((of) => of.node)));
}

// One configuration and one target at a time.
function details() {
  const those = rows.filter((row) => row.targets);
  if (!those.length) return;
  const out = el("div");
  const choice = el("select", { "aria-label": "Head", onchange: () => renew() }, those.map((row, at) => el("option", { value: at }, row.label)));
  const target = el("select", { "aria-label": "Target", onchange: () => renew() });
  function renew() {
    const row = those[choice.value], before = target.value;
    target.replaceChildren(...Object.keys(row.targets).map((name) => el("option", { value: name }, name)));
    if (row.targets[before]) target.value = before;
    else if (row.targets[DATA.figure.split("/")[0]]) target.value = DATA.figure.split("/")[0];
    out.replaceChildren(...ofTarget(row, target.value).filter(known));
  }
  section("classes", "Which classes does it tell apart?",
    note("Of several seeds, their mean softmax. Choose another head or target to see it here."),
    el("div", { class: "bar" }, el("label", {}, "Head", choice), el("label", {}, "Target", target)), out);
  renew();
}

function ofTarget(row, name) {
  const of = row.targets[name], names = DATA.classes[name];
  const curvesOf = of.curves, chosen = new Set(of.chosen);
  const lines = el("div");
  const column = (label, key, say, more = {}) => ({ label, value: (at) => of[key][at], show: (at) => say(of[key][at]), ...more });
  const pick = (at) => curvesOf[at] ? el("input", { type: "checkbox", checked: chosen.has(at), "aria-label": "curve of " + names[at], onchange: (event) => { chosen[event.target.checked ? "add" : "delete"](at); redraw(); } }) : "";
  function redraw() {
    const those = [...chosen];
    const drawn = chart({ caption: "Precision over recall", square: true, x: { label: "recall %", percent: true, low: 0, high: 1 }, y: { label: "precision %", percent: true, low: 0, high: 1 },
      series: those.map((at, place) => ({ name: names[at], place, lines: [curvesOf[at]] })) });
    lines.replaceChildren(drawn.node, legend(those.map((at, place) => ({ name: names[at], place })), [drawn]));
  }
  const macro = el("dl", { class: "stats" }, Object.entries(of.macro).map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, percent(value) + " %"))));
  const classes = table({
    name: "Classes", filter: true, rows: of.listed, sorted: [1, true],
    columns: [
      { label: "class", head: true, text: true, value: (at) => names[at], show: (at) => names[at] },
      column("instances", "instances", count), ...(DATA.taught[name] ? [{ label: "trained on", value: (at) => DATA.taught[name][at], show: (at) => count(DATA.taught[name][at]), title: "segments of the class in the training split" }] : []),
      column("predicted", "predicted", count), column("precision", "precision", percent), column("recall", "recall", percent), column("F1", "f1", percent),
      column("average precision", "ap", percent), { label: "curve", value: (at) => (chosen.has(at) ? 1 : 0), show: pick }] });
  redraw();
  const occur = of.listed.length - of.absent;
  return [
    el("h3", {}, `${row.label}: ${name}, on average over the ${occur} ${occur === 1 ? "class that occurs" : "classes that occur"}`), macro,
    el("div", { class: "pair" }, matrix(names, of), lines),
    el("h3", {}, "Class by class, fractions in %"), classes,
    ...[["Most sure, and wrong", of.sure], ["True class thought least likely", of.unlikely]].filter(([, clips]) => clips.length)
      .flatMap(([label, clips]) => [el("h3", {}, label), clips.some((clip) => clip.looks) ? note("Second line of pictures: what the network saw, lit where the head looks (first seed).") : null, el("div", { class: "clips" }, clips.map((clip) => clipOf(clip, names)))]),
  ];
}

function clipOf(clip, names) {
  const seen = DATA.images[clip.id], why = DATA.unseen[clip.id];
  const strip = seen ? el("div", { class: "strip" }, seen.map((source, at) => el("img", { src: source, alt: `frame ${at + 1} of ${seen.length}` }))) : null;
  return el("article", {}, strip,
    clip.looks ? el("div", { class: "strip" }, clip.looks.map((source, at) => el("img", { src: source, alt: `where the head looks, ${at + 1} of ${clip.looks.length}` }))) : null,
    el("p", {}, "Said ", el("b", {}, names[clip.guess]), ` (${percent(clip.p)}\u00a0%), is `, el("b", {}, names[clip.truth]), ` (${percent(clip.q)}\u00a0%)`),
    el("p", { class: "id" }, clip.id, seen ? "" : ` · no frames: ${why}`));
}

// Runs on persons: how well each action is found.
function persons() {
  const those = rows.filter((row) => row.persons);
  if (!those.length) return;
  const out = el("div"), best = those[0].persons;
  const choice = el("select", { "aria-label": "Head of persons", onchange: () => renew() }, those.map((row, at) => el("option", { value: at }, row.label)));
  function renew() {
    const row = those[choice.value], of = row.persons, first = new Map(best.names.map((name, at) => [name, best.ap[at]]));
    const columns = [
      { label: "class", head: true, text: true, value: (at) => of.names[at], show: (at) => of.names[at] },
      { label: "annotated", title: "persons of the split with this label", value: (at) => of.annotated[at], show: (at) => count(of.annotated[at]) },
      { label: "average precision %", value: (at) => of.ap[at], show: (at) => percent(of.ap[at]) }];
    if (of !== best) columns.push({ label: "differs", title: "points to " + those[0].label, value: (at) => of.ap[at] - first.get(of.names[at]), show: (at) => signed(of.ap[at] - first.get(of.names[at])) });
    out.replaceChildren(table({ name: "Actions", filter: true, rows: of.names.map((_, at) => at), columns, sorted: [2, true] }));
  }
  section("persons", "Which actions does it find?", note("Average precision of the boxes of each class, on average over seeds."),
    those.length > 1 ? el("div", { class: "bar" }, el("label", {}, "Head", choice)) : null, out);
  renew();
}

function runsOf() {
  const all = rows.flatMap((row) => row.runs.map((run) => ({ ...run, place: row.place, label: row.label })));
  const columns = [
    { label: "run", head: true, keyed: true, text: true, value: (run) => run.path, show: (run) => [keyOf(run.place), run.path] },
    { label: "head", text: true, value: (run) => run.label, show: (run) => run.label },
    number("seed", "seed", (value) => value, { up: true }), number(DATA.short + " %", "value", percent), number("epochs", "epochs", (value) => value ?? "–"),
    number("best", "best", (value) => value ?? "–", { title: "epoch whose weights were kept" }), number("time", "seconds", duration, { up: true }),
    { label: "segments", title: "evaluated, of the split", value: (run) => run.segments, show: (run) => count(run.segments) + (run.segments < run.ofSplit ? " of " + count(run.ofSplit) : "") },
    { label: "egofeat", text: true, value: (run) => run.version, show: (run) => run.version },
  ];
  const commands = [
    { label: "run", head: true, text: true, value: (run) => run.path, show: (run) => run.path },
    { label: "command that makes it again", text: true, wide: true, value: (run) => run.commands.join(), show: (run) => run.commands.map((text) => el("div", {}, el("code", {}, text))) }];
  section("runs", "What was run?", table({ name: "Runs", columns, rows: all }),
    el("h3", {}, "Commands"), table({ name: "Commands", columns: commands, rows: all }),
    el("h3", {}, "Features"), el("dl", {}, DATA.stores.flatMap((store) => [el("dt", {}, store.name), el("dd", {}, el("code", {}, store.path), el("br"), store.said)])));
  main.after(el("footer", {}, el("code", {}, DATA.command), el("br"), DATA.versions));
}

heading();
comparison();
curves();
cost();
details();
persons();
runsOf();
