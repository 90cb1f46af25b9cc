"use strict";
// The page of a run follows it: state and numbers at once, all else when the server says that it is worth asking for.

const LIVE = document.getElementById("live");

function strip() {
  const [output, tell] = connection();
  const [state, which, far, why] = [html("span", {}), html("span", { class: "which" }), html("span", {}), html("p", { class: "why" })];
  const numbers = html("dl", { class: "numbers" });
  LIVE.append(html("div", { class: "strip" }, state, which, far, numbers, output), why);
  const title = document.title;
  const show = (told) => {
    if (state.textContent !== badge(told.state).textContent) state.replaceChildren(badge(told.state));
    say(which, told.name);
    far.replaceChildren(progress(told.round, told.planned));
    const values = [[`best validation ${told.score_name}`, told.score], ["coverage", told.coverage], ["QD score", told.qd_score]];
    numbers.replaceChildren(...values.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, shortly(value)))));
    say(why, told.reason || (told.state === "gone" ? "The run is no longer there; what was known of it stays here." : ""));
    document.title = told.state === "running" ? `${told.round}/${told.planned ?? "?"} ${title}` : `${told.state}: ${title}`;
  };
  return [show, tell];
}

// Ask for the page as it is now. It is parsed as a document of its own, in which no script runs.
function asked(take) {
  const request = new XMLHttpRequest();
  request.open("GET", location.pathname + location.search);
  request.responseType = "document";
  request.addEventListener("load", () => take(request.status === 200 ? request.response : null));
  request.addEventListener("error", () => take(null));
  request.send();
}

function charts(page) {
  return JSON.parse(page.getElementById("data").textContent);
}

function measured(data) {
  const elites = data.charts.find((chart) => chart.kind === "elites");
  return elites ? JSON.stringify(elites.measures.map((measure) => measure.name)) : null;
}

function follow() {
  const [show, tell] = strip();
  const drawn = new Map(); // of each figure: its data, as a text
  let data = charts(document);
  let version = Number(LIVE.dataset.version);
  let [wanted, asking] = [version, false];
  data.charts.forEach((chart, place) => drawn.set(document.getElementById(`chart-${place}`), JSON.stringify(chart)));

  const place = (page) => {
    const next = charts(page);
    if (measured(data) !== null && measured(next) !== measured(data)) return location.reload(); // another run
    steadily(() => {
      for (const part of ["header h1", "header p", "nav", "main"]) settle(document.querySelector(part), page.querySelector(part));
      next.charts.forEach((chart, at) => {
        const figure = document.getElementById(`chart-${at}`);
        const said = JSON.stringify(chart);
        if (drawn.get(figure) === said) return;
        if (UPDATES.has(figure)) UPDATES.get(figure)(chart);
        else draw(figure, chart, next.colours);
        drawn.set(figure, said);
      });
    });
    data = next;
    version = Number(page.getElementById("live").dataset.version);
    LIVE.dataset.version = version;
    return undefined;
  };
  const ask = () => {
    if (asking || wanted === version) return;
    asking = true;
    const before = version;
    asked((page) => {
      asking = false;
      if (page !== null && page.getElementById("data") !== null) place(page);
      if (page !== null && version !== before) ask();
    });
  };
  connected(`events${location.search}`, (told) => {
    show(told);
    if (told.state === "gone") return;
    wanted = told.page;
    ask();
  }, tell);
}

follow();
