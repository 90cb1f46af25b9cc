"use strict";
// The page begins here: each chart of the data is drawn into its element, which has its heading and description.

const KINDS = { lines: drawLines, elites: drawElites, descent: drawDescent };
const UPDATES = new WeakMap(); // of each figure: what draws other data in place of its own

function draw(figure, chart, colours) {
  UPDATES.set(figure, KINDS[chart.kind](figure, chart, colours));
}

function begin() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.charts.forEach((chart, place) => draw(document.getElementById(`chart-${place}`), chart, data.colours));
  document.documentElement.dataset.drawn = String(data.charts.length);
}

begin();
