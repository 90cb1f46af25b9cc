"use strict";
// Elements are made here alone, and texts are set by textContent: nothing that a run says is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function html(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null) element.setAttribute(key, value);
  }
  for (const child of children.flat()) {
    if (child === null) continue;
    element.append(typeof child === "object" ? child : document.createTextNode(String(child)));
  }
  return element;
}

function text(x, y, said, attributes) {
  return svg("text", { x, y, ...attributes }, said);
}

// A number as people read it; what is not known is a hyphen.
function shortly(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

// A function from [low, high] to [from, to].
function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

// About so many round numbers from low to high.
function ticks(low, high, count) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + 1e-9 * step; place += 1) {
    found.push(Number((place * step).toPrecision(12)));
  }
  return found;
}

// The least and the greatest number of some, with a margin where both are the same.
function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  return low === high ? [low - 0.5 * (Math.abs(low) || 1), high + 0.5 * (Math.abs(high) || 1)] : [low, high];
}

// Where in a drawing a pointer is, in the drawing's own units.
function pointed(drawing, event, width, height) {
  const box = drawing.getBoundingClientRect();
  return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
}

// A place of a path; broken where there is no number.
function path(points) {
  let pen = "M";
  let found = "";
  for (const [x, y] of points) {
    if (x === null || y === null) {
      pen = "M";
      continue;
    }
    found += `${pen}${x.toFixed(1)},${y.toFixed(1)}`;
    pen = "L";
  }
  return found;
}

function drawing(width, height, label) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, tabindex: "0" });
}

// A text of at most so many characters.
function cut(said, most) {
  return said.length <= most ? said : `${said.slice(0, Math.max(1, most - 3))}...`;
}

// A control with its name.
function labelled(name, control) {
  return html("label", {}, html("span", {}, name), control);
}

function choice(options, chosen) {
  const select = html("select", {}, options.map(([value, name]) => html("option", { value }, name)));
  select.value = chosen;
  return select;
}

// What a drawing says of the place that is looked at; it is read out where a screen reader asks for it.
function readout() {
  return html("output", { class: "readout", "aria-live": "polite" });
}

// Say what it did not say already: a text that is set anew is read out anew.
function say(output, said) {
  if (output.textContent !== said) output.textContent = said;
}

// Put other things into a container. The focus, if it was in there, goes to what is of the same kind and name.
function refilled(container, ...children) {
  const held = container.contains(document.activeElement) && container !== document.activeElement ? document.activeElement : null;
  const [down, across] = [container.scrollTop, container.scrollLeft];
  container.replaceChildren(...children);
  [container.scrollTop, container.scrollLeft] = [down, across];
  if (held === null) return;
  const same = [...container.querySelectorAll(held.tagName)].find((each) => each.textContent === held.textContent);
  (same || container).focus({ preventScroll: true });
}
