"use strict";
// The runs of a folder: a table that is sorted, filtered and ticked by the reader, and changes in place as runs go on.

const LIVE = document.getElementById("live");
const FIRST = 4; // runs that are ticked at the beginning
const SPARK = { width: 120, height: 26 };
const COLOURS = JSON.parse(document.getElementById("data").textContent).colours;
// What a column is called, what it is sorted by, and whether that is a number.
const HEADS = [
  ["run", (run) => run.name, false], ["state", (run) => run.state, false], ["progress", (run) => run.round, true],
  ["validation score", (run) => run.score, true], ["coverage", (run) => run.coverage, true], ["QD score", (run) => run.qd_score, true],
  ["seed", (run) => run.seed, true], ["births", (run) => run.arm, false], ["task", (run) => run.task, false], ["family", (run) => run.family, false],
];

const choices = { sort: 0, down: false, filter: "", ticked: null, slots: new Map() };
let runs = [];
const rows = new Map(); // by the key of each run: its row and how to show it
const pictures = [];

function spark(values) {
  const box = SPARK;
  const [low, high] = extent(values);
  const x = scale(0, Math.max(1, values.length - 1), 2, box.width - 2);
  const y = scale(low, high, box.height - 3, 3);
  const points = values.map((value, place) => [x(place), value === null ? null : y(value)]);
  const last = values.length ? `QD score, last ${shortly(values.at(-1))}` : "QD score, none yet";
  return svg("svg", { width: box.width, height: box.height, viewBox: `0 0 ${box.width} ${box.height}`, role: "img", "aria-label": last },
    svg("path", { d: path(points), fill: "none", stroke: COLOURS.series[0], "stroke-width": 1.6 }));
}

function row({ key, name }) {
  const tick = html("input", { type: "checkbox", "aria-label": `Compare ${name}` });
  tick.addEventListener("change", () => {
    choices.ticked = tick.checked ? [...ticked(), key] : ticked().filter((each) => each !== key);
    remember();
    show();
  });
  const mark = html("span", { class: "mark" });
  const link = html("a", { href: `run?key=${key}` }, name);
  const cells = HEADS.slice(1).map(() => html("td", {}));
  const line = html("td", {});
  const element = html("tr", {}, html("td", {}, html("span", { class: "tick" }, tick, mark)), html("th", { scope: "row" }, link), cells.slice(0, 5), line, cells.slice(5));
  let before = "";
  const update = (run, slot) => {
    tick.checked = slot !== null;
    mark.replaceChildren(...(slot === null ? [] : [swatch(...look(slot, COLOURS))]));
    if (before === JSON.stringify(run)) return;
    before = JSON.stringify(run);
    cells[0].replaceChildren(badge(run.state));
    if (run.reason) cells[0].append(html("span", { class: "why" }, run.reason));
    cells[1].replaceChildren(progress(run.round, run.planned));
    const numbers = [run.score, run.coverage, run.qd_score].map((value) => (value === null ? "-" : value.toFixed(4)));
    [...numbers, shortly(run.seed), run.arm ?? "-", run.task ?? "-", run.family ?? "-"].forEach((value, place) => say(cells[place + 2], value));
    line.replaceChildren(spark(run.spark));
  };
  return [element, update];
}

function ticked() {
  const keys = new Set(runs.map((run) => run.key));
  return choices.ticked.filter((key) => keys.has(key));
}

// The look of a ticked run stays the same for as long as it is ticked.
function slots() {
  const wanted = ticked();
  for (const key of [...choices.slots.keys()]) if (!wanted.includes(key)) choices.slots.delete(key);
  for (const key of wanted) {
    const taken = new Set(choices.slots.values());
    for (let slot = 0; !choices.slots.has(key); slot += 1) if (!taken.has(slot)) choices.slots.set(key, slot);
  }
  return choices.slots;
}

// What the reader has set is kept in the address, so that it can be loaded again, and sent on.
function remember() {
  const kept = new URLSearchParams();
  if (choices.ticked !== null) kept.set("compare", JSON.stringify(choices.ticked));
  if (choices.filter) kept.set("filter", choices.filter);
  history.replaceState(null, "", `${location.pathname}#${kept}`);
}

function remembered() {
  const kept = new URLSearchParams(location.hash.slice(1));
  choices.filter = kept.get("filter") || "";
  try {
    const keys = JSON.parse(kept.get("compare"));
    if (Array.isArray(keys)) choices.ticked = keys.filter((key) => typeof key === "string");
  } catch {
    choices.ticked = null;
  }
}

function ordered() {
  const [, value, numeric] = HEADS[choices.sort];
  const compare = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    return (numeric ? a - b : String(a).localeCompare(String(b), "en", { numeric: true })) * (choices.down ? -1 : 1);
  };
  return [...runs].sort(compare);
}

function matches(run) {
  const said = [run.name, run.state, run.task, run.family, run.arm].join(" ").toLowerCase();
  return choices.filter.toLowerCase().split(/\s+/).every((word) => said.includes(word));
}

function table() {
  const heads = HEADS.map(([name], place) => {
    const sort = html("button", { type: "button" }, name);
    const head = html("th", { scope: "col", "aria-sort": "none" }, sort);
    sort.addEventListener("click", () => {
      [choices.sort, choices.down] = [place, choices.sort === place ? !choices.down : HEADS[place][2]];
      show();
    });
    return head;
  });
  const filter = html("input", { type: "search", value: choices.filter });
  filter.addEventListener("input", () => {
    choices.filter = filter.value;
    remember();
    show();
  });
  const none = html("button", { type: "button" }, "Tick none");
  none.addEventListener("click", () => {
    choices.ticked = [];
    remember();
    show();
  });
  const [caption, body] = [html("caption", { "aria-live": "polite" }), html("tbody", {})];
  const head = html("tr", {}, html("th", { scope: "col" }, "compare"), heads.slice(0, 6), html("th", { scope: "col" }, "over rounds"), heads.slice(6));
  document.getElementById("runs").append(
    html("div", { class: "controls" }, labelled("Show runs whose name, state, task, family or births hold", filter), none),
    html("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Table of runs" }, html("table", { class: "runs" }, caption, html("thead", {}, head), body)));
  return [caption, heads, body];
}

function show() {
  const [caption, heads, body] = TABLE;
  const looks = slots();
  const shown = ordered().filter(matches);
  heads.forEach((head, place) => head.setAttribute("aria-sort", place !== choices.sort ? "none" : choices.down ? "descending" : "ascending"));
  say(caption, shown.length === runs.length ? `${runs.length} runs` : `${shown.length} of ${runs.length} runs`);
  for (const key of [...rows.keys()]) {
    if (runs.some((run) => run.key === key)) continue;
    rows.get(key)[0].remove();
    rows.delete(key);
  }
  for (const run of runs) {
    if (!rows.has(run.key)) rows.set(run.key, row(run));
    rows.get(run.key)[1](run, looks.get(run.key) ?? null);
  }
  const wanted = shown.map((run) => rows.get(run.key)[0]);
  const there = [...body.children];
  if (wanted.length === there.length && wanted.every((each, place) => each === there[place])) return compare();
  const held = body.contains(document.activeElement) ? document.activeElement : null;
  body.replaceChildren(...wanted);
  if (held !== null) held.focus({ preventScroll: true });
  return compare();
}

// Ask for the curves of the ticked runs where they are not those that are drawn.
let asking = null;
let drawn = null;
function compare() {
  const keys = [...slots().keys()];
  const wanted = JSON.stringify(keys.map((key) => [key, runs.find((run) => run.key === key).page]));
  if (asking !== null || wanted === drawn) return;
  asking = wanted;
  const request = new XMLHttpRequest();
  request.open("GET", `curves?${keys.map((key) => `key=${key}`).join("&")}`);
  request.responseType = "json";
  request.addEventListener("loadend", () => {
    asking = null;
    if (request.status !== 200) return;
    drawn = wanted;
    picture(request.response.charts, keys);
    compare(); // what was ticked meanwhile
  });
  request.send();
}

// Draw the curves of these runs, in the looks that they have in the table.
function picture(charts, keys) {
  const looks = slots();
  charts.forEach((chart, place) => {
    chart.series.forEach((each, at) => (each.look = looks.get(keys[at]) ?? 0));
    if (pictures[place]) {
      say(pictures[place].querySelector("h3"), chart.title);
      UPDATES.get(pictures[place])(chart);
      return;
    }
    const title = html("h3", { id: `compared-${place}` }, chart.title);
    const figure = html("figure", { class: "lines", "aria-labelledby": `compared-${place}` }, title);
    document.getElementById("comparison").append(figure);
    draw(figure, chart, COLOURS);
    pictures[place] = figure;
  });
  document.documentElement.dataset.compared = keys.length;
}

remembered();
const TABLE = table();
const [output, tell] = connection();
LIVE.append(html("div", { class: "strip" }, output));
connected("events", (told) => {
  runs = told.runs;
  choices.ticked ??= runs.slice(0, FIRST).map((run) => run.key);
  show();
}, tell);
