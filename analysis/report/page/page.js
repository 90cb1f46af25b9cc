"use strict";
// The page begins here: each chart of the data is drawn into its element, which has its heading and description.

const KINDS = { lines: drawLines, elites: drawElites, descent: drawDescent };

function begin() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.charts.forEach((chart, place) => {
    KINDS[chart.kind](document.getElementById(`chart-${place}`), chart, data.colours);
  });
  document.documentElement.dataset.drawn = String(data.charts.length);
}

begin();
