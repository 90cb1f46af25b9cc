"use strict";
// The lineage tree: a row a component, from its birth to the round in which it was last seen.

const TREE = { width: 960, left: 110, right: 120, top: 10, row: 17, bottom: 44 };

// Draw into a figure, and return what draws another tree in its place.
function drawDescent(figure, first, colours) {
  const tree = drawing(TREE.width, TREE.top + TREE.bottom, "Lineage; arrow keys go from row to row, Enter opens an elite above");
  const entries = [[swatch(colours.ink, ""), "first parent"], [swatch(colours.series[4], "3 3"), "second parent"], [dot(colours.empty, 0), "ancestor, not an elite"]];
  const said = readout();
  figure.append(tree, legend(entries), said);
  let [rows, marks, chosen] = [[], [], null];
  const height = () => TREE.top + rows.length * TREE.row + TREE.bottom;
  const here = () => rows.findIndex((row) => row.name === chosen);

  const look = (place) => {
    if (place < 0 || place >= rows.length) return;
    if (here() >= 0) marks[here()].classList.remove("at");
    const row = rows[place];
    chosen = row.name;
    marks[place].classList.add("at");
    const parents = row.parents.map((parent) => rows[parent].name).join(", ") || "none in this tree";
    say(said, `${row.name}: born in round ${row.born}, last seen in round ${row.last}, parents ${parents}, objective ${shortly(row.objective)}`);
  };
  const update = (data) => {
    ({ rows } = data);
    tree.setAttribute("viewBox", `0 0 ${TREE.width} ${height()}`);
    tree.replaceChildren();
    marks = branches(tree, rows, height(), colours);
    look(here());
  };
  const open = () => here() >= 0 && document.dispatchEvent(new CustomEvent("elite", { detail: chosen }));
  const row = (event) => Math.floor((pointed(tree, event, TREE.width, height())[1] - TREE.top) / TREE.row);
  tree.addEventListener("pointermove", (event) => look(row(event)));
  tree.addEventListener("click", open);
  tree.addEventListener("keydown", (event) => {
    if (event.key === "Enter") open();
    const at = here();
    const step = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    look(Math.min(rows.length - 1, Math.max(0, step)));
  });
  update(first);
  return update;
}

// Draw rows and what connects them; returns what is drawn of each.
function branches(tree, rows, height, colours) {
  const box = { ...TREE, height };
  const [, high] = extent(rows.map((row) => row.last));
  const x = scale(0, Math.max(1, high), box.left, box.width - box.right);
  const y = (place) => TREE.top + (place + 0.5) * TREE.row;
  const [low, best] = extent(rows.map((row) => row.objective));
  const shade = scale(low, best, 0, colours.scale.length - 1);
  for (const tick of ticks(0, Math.max(1, high), 8).filter(Number.isInteger)) {
    tree.append(svg("line", { x1: x(tick), x2: x(tick), y1: TREE.top, y2: height - TREE.bottom, stroke: colours.faint }));
    tree.append(text(x(tick), height - TREE.bottom + 16, shortly(tick), { "text-anchor": "middle" }));
  }
  tree.append(text((box.left + box.width - box.right) / 2, height - 6, "round", { "text-anchor": "middle" }));
  rows.forEach((row, place) => {
    row.parents.forEach((parent, which) => {
      const look = which === 0 ? { stroke: colours.ink } : { stroke: colours.series[4], "stroke-dasharray": "3 3" };
      tree.append(svg("line", { x1: x(row.born), x2: x(row.born), y1: y(parent), y2: y(place), "stroke-width": 0.9, ...look }));
    });
  });
  return rows.map((row, place) => {
    const colour = row.objective === null ? colours.empty : colours.scale[Math.round(shade(row.objective))];
    const group = svg("g", {});
    group.append(svg("line", { x1: x(row.born), x2: x(row.last), y1: y(place), y2: y(place), stroke: colour, "stroke-width": 4, "stroke-linecap": "round" }));
    group.append(svg("circle", { cx: x(row.born), cy: y(place), r: 3.5, fill: colour, stroke: colours.ink, "stroke-width": 0.6 }));
    group.append(text(box.left - 10, y(place) + 4, row.name, { "text-anchor": "end", class: row.objective === null ? "" : "strong" }));
    if (row.objective !== null) group.append(text(box.width - box.right + 14, y(place) + 4, `objective ${shortly(row.objective)}`, {}));
    tree.append(group);
    return group;
  });
}
