"use strict";
// The elites: a plot over any two measures, parallel coordinates that select in it, a table, and what one elite is.

const PLOT = { width: 640, height: 480, left: 64, right: 20, top: 14, bottom: 50 };
const SHAPES = [
  (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  (x, y, r) => `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x},${y - 1.2 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`,
  (x, y, r) => `M${x},${y - 1.3 * r}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`,
];
const MOST_ROWS = 100;
const SHADES = { objective: "objective", held_out: "held-out objective", age: "age [rounds lived]", round: "round in which it was measured", depth: "layer" };
const GROUPS = { lineages: "lineage (founder)", emitters: "emitter" };

// How elites are coloured by a number, or by a name: a colour, a shape, and the entries of the legend.
function colouring(data, by, colours) {
  if (by in SHADES) {
    const values = data.numbers[by];
    const [low, high] = extent(values);
    const shade = scale(low, high, 0, colours.scale.length - 1);
    const bar = svg("svg", { width: 128, height: 12, "aria-hidden": "true" });
    colours.scale.forEach((colour, place) => bar.append(svg("rect", { x: place * 4, width: 4, height: 12, fill: colour })));
    const unknown = values.includes(null) ? [[dot(colours.empty, 0), "not known"]] : [];
    return {
      colour: (elite) => (values[elite] === null ? colours.empty : colours.scale[Math.round(shade(values[elite]))]),
      shape: () => 0,
      legend: [[bar, `${shortly(low)} to ${shortly(high)}`], ...unknown],
    };
  }
  const counts = new Map();
  for (const name of data[by]) counts.set(name, (counts.get(name) || 0) + 1);
  const ranked = [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const named = ranked.slice(0, ranked.length > colours.series.length ? colours.series.length - 1 : colours.series.length);
  const places = new Map(named.map((name, place) => [name, place]));
  const look = (place) => (place === undefined ? [colours.empty, 0] : [colours.series[place], place % SHAPES.length]);
  const entries = named.map((name, place) => [dot(...look(place)), `${name === null ? "lived in an organism" : name} (${counts.get(name)})`]);
  return {
    colour: (elite) => look(places.get(data[by][elite]))[0],
    shape: (elite) => look(places.get(data[by][elite]))[1],
    legend: ranked.length > named.length ? [...entries, [dot(colours.empty, 0), `${ranked.length - named.length} others`]] : entries,
  };
}

function dot(colour, shape) {
  return svg("svg", { width: 14, height: 12, "aria-hidden": "true" }, svg("path", { d: SHAPES[shape](7, 6, 4.5), fill: colour }));
}

function raw(measure, place) {
  return measure.low + place * (measure.high - measure.low);
}

// Draw into a figure, and return what shows another archive of the same measures in its place: axes, colours, ranges and
// the elite that is looked at stay as the reader has set them.
function drawElites(figure, data, colours) {
  const state = { x: 0, y: data.measures.length > 1 ? 1 : 0, by: "objective", selected: [], chosen: null, theirs: false };
  const measures = data.measures.map((measure, place) => [place, measure.name]);
  const controls = [choice(measures, state.x), choice(measures, state.y), choice(shadings(data), state.by)];
  const plot = drawing(PLOT.width, PLOT.height, "Elites by two measures; arrow keys go from elite to elite, Enter opens one");
  const [key, said, told] = [html("div", {}), readout(), html("div", { class: "detail", tabindex: "-1", "aria-live": "polite" })];
  const table = html("div", { class: "wide long", role: "region", tabindex: "0", "aria-label": "Selected elites" });
  const names = ["horizontal", "vertical", "colour by"].map((name, place) => labelled(name, controls[place]));
  const tip = html("div", { class: "tip", "aria-hidden": "true" });
  figure.append(html("div", { class: "controls" }, names), html("div", { class: "pair" }, html("div", { class: "plot" }, plot, tip, key, said), told));
  let [places, objective] = [[], []];
  const [along, show] = drawParallel(figure, columns(data), colours, (ranges) => {
    state.selected = within(data, ranges);
    draw();
  });
  figure.append(table);

  function update(next) {
    const name = state.chosen === null ? null : data.names[state.chosen];
    if (JSON.stringify(shadings(next)) !== JSON.stringify(shadings(data))) {
      controls[2].replaceChildren(...choice(shadings(next), "").children);
      controls[2].value = state.by;
    }
    data = next;
    objective = data.numbers.objective;
    state.selected = within(data, along(columns(data)));
    state.chosen = !state.theirs && data.names.length ? 0 : data.names.indexOf(name);
    if (state.chosen < 0) state.chosen = null;
    draw();
    told.setAttribute("aria-live", "off"); // what changes by itself is not read out
    if (state.chosen !== null) describe(state.chosen);
    else if (name !== null) lose(name);
  }

  function draw() {
    const look = colouring(data, state.by, colours);
    const count = data.names.length;
    plot.replaceChildren();
    const [across, up] = [data.measures[state.x], data.measures[state.y]];
    const named = (measure) => (measure.unit ? `${measure.name} [${measure.unit}]` : measure.name);
    const [toX, toY] = axes(plot, PLOT, [across.low, across.high], [up.low, up.high], named(across), named(up), colours);
    const at = (row) => [toX(raw(across, row[state.x])), toY(raw(up, row[state.y]))];
    for (const [x, y] of data.empty.map(at)) plot.append(svg("circle", { cx: x, cy: y, r: 1.3, fill: colours.empty }));
    places = data.places.map(at);
    for (const on of [false, true]) {
      for (let elite = count - 1; elite >= 0; elite -= 1) {
        if (state.selected[elite] !== on) continue;
        const d = SHAPES[look.shape(elite)](...places[elite], on ? 4.2 : 3);
        plot.append(svg("path", { d, fill: on ? look.colour(elite) : colours.faint, stroke: on ? colours.ink : colours.empty, "stroke-width": 0.4 }));
      }
    }
    if (state.chosen !== null) ring(state.chosen);
    key.replaceChildren(legend([...look.legend, [svg("svg", { width: 14, height: 12, "aria-hidden": "true" }, svg("circle", { cx: 7, cy: 6, r: 1.6, fill: colours.empty })), "centre of an empty cell"]]));
    show(look.colour, state.selected);
    list();
  }

  function ring(elite) {
    plot.querySelectorAll(".ring").forEach((old) => old.remove());
    plot.append(svg("circle", { class: "ring", cx: places[elite][0], cy: places[elite][1], r: 8, fill: "none", stroke: colours.chosen, "stroke-width": 2.5 }));
  }

  function list() {
    const chosen = data.names.map((_, elite) => elite).filter((elite) => state.selected[elite]);
    const heads = ["component", "objective", "held-out", "cell", "round", "emitter", "founder", ...data.measures.map((measure) => measure.name)];
    const rows = chosen.slice(0, MOST_ROWS).map((elite) => {
      const open = html("button", { type: "button" }, data.names[elite]);
      open.addEventListener("click", () => choose(elite, true));
      const cells = [objective[elite], data.numbers.held_out[elite], data.numbers.cell[elite], data.numbers.round[elite], data.emitters[elite], data.lineages[elite], ...data.places[elite].map((place, at) => raw(data.measures[at], place))];
      return html("tr", {}, html("th", { scope: "row" }, open), cells.map((cell) => html("td", {}, shortly(cell))));
    });
    const count = data.names.length;
    const more = chosen.length > MOST_ROWS ? `, the best ${MOST_ROWS} are listed` : "";
    refilled(table, html("table", {}, html("caption", {}, `${chosen.length} of ${count} elites are selected${more}`),
      html("thead", {}, html("tr", {}, heads.map((head) => html("th", { scope: "col" }, head)))), html("tbody", {}, rows)));
  }

  function brief(elite) {
    const where = [state.x, state.y].map((place) => `${data.measures[place].name} ${shortly(raw(data.measures[place], data.places[elite][place]))}`);
    return `${data.names[elite]}: objective ${shortly(objective[elite])}, held-out ${shortly(data.numbers.held_out[elite])}, ${where.join(", ")}`;
  }

  function look(elite) {
    [state.chosen, state.theirs] = [elite, true];
    ring(elite);
    say(said, brief(elite));
  }

  function choose(elite, go) {
    told.setAttribute("aria-live", "polite");
    look(elite);
    describe(elite);
    if (go) told.focus();
  }

  function describe(elite) {
    refilled(told, ...described(data, elite, (name) => choose(data.names.indexOf(name), true)));
    if (said.textContent) say(said, brief(elite));
  }

  function lose(name) {
    const lost = `${name} is no elite any more: another one has its cell.`;
    if (!told.querySelector(".lost")) told.prepend(html("p", { class: "lost" }, lost));
    say(said, lost);
  }

  function nearest(event) {
    const [x, y] = pointed(plot, event, PLOT.width, PLOT.height);
    let [best, least] = [null, 144];
    places.forEach(([left, top], elite) => {
      const distance = (left - x) ** 2 + (top - y) ** 2;
      if (state.selected[elite] && distance < least) [best, least] = [elite, distance];
    });
    return best;
  }

  plot.addEventListener("pointermove", (event) => {
    const elite = nearest(event);
    tip.classList.toggle("on", elite !== null);
    if (elite === null) return;
    tip.textContent = brief(elite);
    tip.style.left = `${(100 * places[elite][0]) / PLOT.width}%`;
    tip.style.top = `${plot.getBoundingClientRect().height * (places[elite][1] / PLOT.height) + 12}px`;
  });
  plot.addEventListener("pointerleave", () => tip.classList.remove("on"));
  plot.addEventListener("click", (event) => {
    const elite = nearest(event);
    if (elite !== null) choose(elite, false);
  });
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && state.chosen !== null) choose(state.chosen, false);
    if (step === undefined) return;
    event.preventDefault();
    const shown = data.names.map((_, elite) => elite).filter((elite) => state.selected[elite]).sort((a, b) => places[a][0] - places[b][0] || a - b);
    if (shown.length) look(shown[(shown.indexOf(state.chosen) + step + shown.length) % shown.length]);
  });
  document.addEventListener("elite", (event) => {
    const elite = data.names.indexOf(event.detail);
    if (elite >= 0) choose(elite, true);
  });
  controls.forEach((control, place) => control.addEventListener("change", () => {
    state[["x", "y", "by"][place]] = place < 2 ? Number(control.value) : control.value;
    draw();
  }));
  update(data);
  say(said, brief(0));
  return update;
}

function shadings(data) {
  const known = Object.entries(SHADES).filter(([name]) => data.numbers[name].some((value) => value !== null));
  return [...known, ...Object.entries(GROUPS)];
}

// The axes of the parallel coordinates: the measures, and the objective from the least to the greatest there is.
function columns(data) {
  const [low, high] = extent(data.numbers.objective);
  const unit = scale(low, high, 0, 1);
  const values = data.numbers.objective.map((value) => (value === null ? null : unit(value)));
  const measures = data.measures.map((measure, place) => ({ ...measure, values: data.places.map((row) => row[place]) }));
  return [...measures, { name: "objective", unit: "0 to 1", low, high, values }];
}

// Which elites are within all ranges; without any range, all are.
function within(data, ranges) {
  const axes = columns(data);
  return data.names.map((_, elite) =>
    ranges.every((range, place) => {
      const value = axes[place].values[elite];
      return range === null || (value !== null && value >= range[0] - 1e-9 && value <= range[1] + 1e-9);
    }));
}

// All that is known of an elite, and its first-parent line back to the founder.
function described(data, elite, choose) {
  const value = (name) => shortly(data.numbers[name][elite]);
  const pairs = [
    ["objective", `${value("objective")}, on held-out examples ${value("held_out")}`],
    ["measured in round", value("round")], ["age [rounds lived]", value("age")], ["layer", value("depth")],
    ["made by", data.emitters[elite] === null ? "the lifecycle: it lived in an organism" : data.emitters[elite]],
    ["assay [nats]", `${value("assay")}, lower 95 % bound ${value("assay_lower")}`],
    ["ablation [nats]", value("ablation")], ["FLOPs per example", value("flops")], ["load", value("load")],
    ["births tried from it", value("tries")], ["genome", `${data.genomes[elite]}...`],
  ];
  const measures = data.measures.map((measure, place) => [measure.name, `${shortly(raw(measure, data.places[elite][place]))} ${measure.unit} (${shortly(data.places[elite][place])} of its range)`]);
  const genes = Object.entries(data.genes).map(([name, values]) => [name, shortly(values[elite])]);
  const usage = Object.entries(data.usage).map(([name, values]) => [name, shortly(values[elite])]);
  const parents = (data.ancestors[data.names[elite]] || []).slice(1);
  const block = (title, rows) => (rows.length ? [html("h5", {}, title), html("dl", {}, rows.map(([name, said]) => html("div", {}, html("dt", {}, name), html("dd", {}, said))))] : []);
  const member = (name) => {
    if (!data.names.includes(name)) return html("span", {}, name);
    const open = html("button", { type: "button" }, name);
    open.addEventListener("click", () => choose(name));
    return open;
  };
  const line = ancestry(data, data.names[elite]).map(([name, born]) => {
    const at = data.names.indexOf(name);
    return html("li", {}, member(name), ` born in round ${shortly(born)}${at < 0 ? "" : `, objective ${shortly(data.numbers.objective[at])}`}`);
  });
  return [
    html("h4", {}, `Elite ${data.names[elite]} in cell ${data.numbers.cell[elite]}`),
    ...block("What it is", pairs), ...block("Measures", measures), ...block("Genes", genes), ...block("Load by kind of example", usage),
    html("h5", {}, "Parents"), html("p", {}, parents.length ? parents.map((name) => [member(name), " "]).flat() : "none: it is a founder"),
    html("h5", {}, "Back to its founder, by first parents"), html("ol", {}, line),
  ];
}

function ancestry(data, name) {
  const found = [];
  const seen = new Set();
  for (let next = name; next !== undefined && !seen.has(next); ) {
    seen.add(next);
    const entry = Object.hasOwn(data.ancestors, next) ? data.ancestors[next] : [null];
    found.push([next, entry[0]]);
    next = entry[1];
  }
  return found;
}
