"use strict";
// Parallel coordinates: a line an elite through all its measures. Ranges on the axes select elites.

const PARALLEL = { width: 960, height: 300, side: 70, top: 52, bottom: 28 };

// Draw into a figure; `select` is called with the ranges when a reader changes one: of each axis in [0, 1], or null.
// Returns a function that takes axes (name, unit, low, high and a value in [0, 1] of each elite) and gives the ranges
// as they are on these, and a function that shows colours and which elites are selected.
function drawParallel(figure, first, colours, select) {
  const box = PARALLEL;
  const chart = drawing(box.width, box.height, "Parallel coordinates; the fields below select by the same ranges");
  const last = Math.max(1, first.length - 1);
  const x = scale(0, last, box.side, box.width - box.side);
  const y = scale(0, 1, box.height - box.bottom, box.top);
  const ranges = first.map(() => null); // in the units of the axes: what an axis reaches may change
  const marks = first.map((_, place) => svg("rect", { x: x(place) - 8, width: 16, fill: colours.chosen, opacity: 0.3, visibility: "hidden" }));
  let [axes, lines] = [first, []];

  const fields = first.map((axis, place) => {
    const ends = ["from", "to"].map((end) => html("input", { type: "number", step: "any", "aria-label": `${axis.name} ${end}` }));
    ends.forEach((end) => end.addEventListener("change", () => set(place, read(axes[place], ends))));
    return ends;
  });
  const clear = html("button", { type: "button" }, "Select all");
  clear.addEventListener("click", () => axes.forEach((_, place) => set(place, null)));
  const groups = first.map((axis, place) => html("fieldset", {}, html("legend", {}, axis.name), fields[place][0], " to ", fields[place][1]));
  figure.append(chart, html("div", { class: "controls" }, groups, clear));

  function read(axis, ends) {
    if (ends.every((end) => end.value === "")) return null;
    const [low, high] = ends.map((end, place) => (end.value === "" ? place : within(axis, Number(end.value))));
    return [Math.min(low, high), Math.max(low, high)];
  }

  function within(axis, value) {
    return (value - axis.low) / (axis.high - axis.low || 1);
  }

  function shares() {
    return ranges.map((range, place) => (range === null ? null : range.map((end) => within(axes[place], end))));
  }

  function set(place, range) {
    const axis = axes[place];
    ranges[place] = range === null ? null : range.map((end) => axis.low + end * (axis.high - axis.low));
    fields[place].forEach((field, end) => {
      field.value = range === null ? "" : Number(ranges[place][end].toPrecision(4));
    });
    mark(place);
    select(shares());
  }

  function mark(place) {
    const range = shares()[place];
    if (range === null) marks[place].setAttribute("visibility", "hidden");
    else {
      const [low, high] = range.map((end) => Math.min(1, Math.max(0, end)));
      filled(marks[place], { y: y(high), height: Math.max(2, y(low) - y(high)), visibility: "visible" }, []);
    }
  }

  let drag = null;
  const height = (event) => Math.min(1, Math.max(0, scale(y(0), y(1), 0, 1)(pointed(chart, event, box.width, box.height)[1])));
  chart.addEventListener("pointerdown", (event) => {
    const [left] = pointed(chart, event, box.width, box.height);
    const place = Math.round(scale(x(0), x(last), 0, last)(left));
    if (place < 0 || place >= axes.length || Math.abs(x(place) - left) > 24) return;
    drag = [place, height(event)];
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointermove", (event) => {
    if (drag === null) return;
    const ends = [drag[1], height(event)].sort((a, b) => a - b);
    set(drag[0], ends[1] - ends[0] < 0.01 ? null : ends);
  });
  chart.addEventListener("pointerup", (event) => {
    if (drag !== null && Math.abs(drag[1] - height(event)) < 0.01) set(drag[0], null);
    drag = null;
  });

  const update = (others) => {
    axes = others;
    lines = axes[0].values.map((_, elite) => {
      const points = axes.map((axis, place) => [x(place), axis.values[elite] === null ? null : y(axis.values[elite])]);
      return svg("path", { d: path(points), fill: "none", "stroke-width": 1 });
    });
    chart.replaceChildren(svg("g", {}, lines.slice().reverse()));
    axes.forEach((axis, place) => upright(chart, axis, x(place), y, Math.floor((x(1) - x(0)) / 6.6), colours));
    chart.append(...marks);
    marks.forEach((_, place) => mark(place));
    return shares();
  };
  const show = (colourOf, selected) =>
    lines.forEach((line, elite) => {
      const on = selected[elite];
      filled(line, { stroke: on ? colourOf(elite) : colours.empty, "stroke-opacity": on ? 0.75 : 0.2 }, []);
    });
  return [update, show];
}

// An axis with its name, its unit and its ends, in room for so many characters.
function upright(chart, axis, x, y, room, colours) {
  const shift = { "text-anchor": "middle" };
  chart.append(svg("line", { x1: x, x2: x, y1: y(0), y2: y(1), stroke: colours.ink }));
  const name = text(x, 14, cut(axis.name, room), { ...shift, class: "strong" });
  name.append(svg("title", {}, `${axis.name} ${axis.unit}`));
  chart.append(name, text(x, 28, cut(axis.unit, room), shift));
  chart.append(text(x, y(1) - 5, shortly(axis.high), shift), text(x, y(0) + 16, shortly(axis.low), shift));
}
