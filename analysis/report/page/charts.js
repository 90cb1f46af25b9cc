"use strict";
// Lines with bands. A cursor reads their values: the pointer moves it, and the arrow keys do.

const DASHES = ["", "7 4", "2 3", "8 3 2 3"];
const LINES = { width: 640, height: 260, left: 62, right: 84, top: 12, bottom: 42 };
const NARROW = { ...LINES, width: 420, right: 12 }; // without names of levels

function swatch(colour, dash) {
  const line = svg("line", { x1: 1, x2: 27, y1: 6, y2: 6, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash });
  return svg("svg", { width: 28, height: 12, "aria-hidden": "true" }, line);
}

function legend(entries) {
  return html("ul", { class: "legend" }, entries.map(([mark, name]) => html("li", {}, mark, name)));
}

// The frame of a chart: its axes with their ticks and names. Returns the functions from values to places.
function axes(into, box, [xLow, xHigh], [yLow, yHigh], along, unit, colours) {
  const x = scale(xLow, xHigh, box.left, box.width - box.right);
  const y = scale(yLow, yHigh, box.height - box.bottom, box.top);
  const foot = box.height - box.bottom;
  for (const tick of ticks(yLow, yHigh, 5)) {
    into.append(svg("line", { x1: box.left, x2: box.width - box.right, y1: y(tick), y2: y(tick), stroke: colours.faint }));
    into.append(text(box.left - 6, y(tick) + 4, shortly(tick), { "text-anchor": "end" }));
  }
  const whole = along === "round";
  for (const tick of ticks(xLow, xHigh, 6).filter((each) => !whole || Number.isInteger(each))) {
    into.append(svg("line", { x1: x(tick), x2: x(tick), y1: foot, y2: foot + 4, stroke: colours.ink }));
    into.append(text(x(tick), foot + 17, shortly(tick), { "text-anchor": "middle" }));
  }
  into.append(svg("line", { x1: box.left, x2: box.width - box.right, y1: foot, y2: foot, stroke: colours.ink }));
  into.append(text((box.left + box.width - box.right) / 2, box.height - 6, cut(along, 80), { "text-anchor": "middle" }));
  const middle = (box.top + foot) / 2;
  into.append(text(14, middle, cut(unit, Math.floor((foot - box.top) / 5)), { "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }));
  return [x, y];
}

// Intervals of two seeds reach far beyond what the runs have: half as much around it is shown.
function heights(data) {
  const [low, high] = extent(data.series.flatMap((each) => each.y));
  const margin = 0.5 * (high - low);
  const ends = data.series.flatMap((each) => [...(each.low || []), ...(each.high || [])]);
  const inside = ends.filter((each) => each !== null).map((each) => Math.min(high + margin, Math.max(low - margin, each)));
  const levels = data.limits.map(([, value]) => value);
  const [bottom, top] = extent([low, high, ...inside, ...levels]);
  return [bottom - 0.03 * (top - bottom), top + 0.03 * (top - bottom)];
}

// Draw into a figure, and return what draws other data in its place. A series may name its look by a number, so that it
// keeps it when there are others; else looks go by order.
function drawLines(figure, first, colours) {
  const box = first.narrow ? NARROW : LINES;
  const chart = drawing(box.width, box.height, "");
  const [key, said] = [html("div", {}), readout()];
  const read = reader(chart, said, box, colours);
  figure.append(chart, key, said);
  const update = (data) => {
    const [yLow, yHigh] = heights(data);
    chart.setAttribute("aria-label", `${data.title}; arrow keys read the values`);
    chart.replaceChildren();
    const [x, y] = axes(chart, box, extent(data.series.flatMap((each) => each.x)), [yLow, yHigh], data.along, data.unit, colours);
    const within = (value) => (value === null ? null : y(Math.min(yHigh, Math.max(yLow, value))));
    for (const [name, value] of data.limits) {
      const at = { x1: box.left, x2: box.width - box.right, y1: y(value), y2: y(value) };
      chart.append(svg("line", { ...at, stroke: colours.ink, "stroke-dasharray": "4 3", "stroke-width": 0.8 }));
      chart.append(text(box.width - box.right + 5, y(value) + 4, `${name} ${shortly(value)}`, {}));
    }
    const looks = data.series.map((each, place) => look(each.look ?? place, colours));
    data.series.forEach((each, place) => line(chart, each, looks[place], x, y, within));
    key.replaceChildren(legend(data.series.map((each, place) => [swatch(...looks[place]), each.name])));
    read(data, x);
  };
  update(first);
  return update;
}

function look(number, colours) {
  return [colours.series[number % colours.series.length], DASHES[number % DASHES.length]];
}

function line(chart, each, [colour, dash], x, y, within) {
  if (each.low) {
    const known = each.x.map((_, at) => at).filter((at) => each.low[at] !== null && each.high[at] !== null);
    const there = known.map((at) => [x(each.x[at]), within(each.low[at])]);
    const back = known.map((at) => [x(each.x[at]), within(each.high[at])]).reverse();
    if (known.length) chart.append(svg("path", { d: `${path([...there, ...back])}Z`, fill: colour, opacity: 0.16 }));
  }
  const points = each.x.map((value, at) => [x(value), each.y[at] === null ? null : y(each.y[at])]);
  chart.append(svg("path", { d: path(points), fill: "none", stroke: colour, "stroke-width": 1.8, "stroke-dasharray": dash }));
  if (points.length <= 30) {
    for (const [left, top] of points) if (top !== null) chart.append(svg("circle", { cx: left, cy: top, r: 2.4, fill: colour }));
  }
}

// Let a chart of lines be read at each of its places. Returns a function that takes the lines to read; the place that
// is looked at stays where it was.
function reader(chart, said, box, colours) {
  const cursor = svg("line", { y1: box.top, y2: box.height - box.bottom, stroke: colours.ink, "stroke-width": 0.8, visibility: "hidden" });
  let [data, x, places, at] = [null, null, [], null];
  const here = () => Math.max(0, places.indexOf(at));
  const look = (place) => {
    at = places[Math.min(places.length - 1, Math.max(0, place))];
    filled(cursor, { x1: x(at), x2: x(at), visibility: "visible" }, []);
    const values = data.series.map((each) => `${each.name} ${shortly(each.y[each.x.indexOf(at)])}`);
    say(said, `${data.along} ${shortly(at)}: ${values.join("; ")}`);
  };
  chart.addEventListener("pointermove", (event) => {
    const [left] = pointed(chart, event, box.width, box.height);
    const distances = places.map((place) => Math.abs(x(place) - left));
    look(distances.indexOf(Math.min(...distances)));
  });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: here() - 1, ArrowRight: here() + 1, Home: 0, End: places.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    look(step);
  });
  return (lines, across) => {
    [data, x] = [lines, across];
    places = [...new Set(data.series.flatMap((each) => each.x))].sort((a, b) => a - b);
    chart.append(cursor);
    if (at !== null && places.length) look(here());
  };
}
