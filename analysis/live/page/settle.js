"use strict";
// A part of the page settles into another version of itself: what is equal stays the element that it is, with its focus,
// its scroll position and what is selected in it. A drawing is given other data.

const CONTAINERS = "main, nav, ol, section, div, table, thead, tbody, tr";

function settle(old, next) {
  if (old.isEqualNode(next)) return;
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of [...next.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.matches("figure")) {
    for (const part of ["h3", "p.told"]) settle(old.querySelector(`:scope > ${part}`), next.querySelector(`:scope > ${part}`));
  } else if (old.matches(CONTAINERS)) settleChildren(old, next);
  else old.replaceChildren(...[...next.childNodes].map((each) => document.importNode(each, true)));
}

function settleChildren(old, next) {
  const free = new Map();
  for (const each of old.children) free.set(key(each), [...(free.get(key(each)) || []), each]);
  const pairs = [...next.children].map((each) => [(free.get(key(each)) || []).shift() || null, each]);
  for (const each of [...free.values()].flat()) each.remove();
  let place = old.firstElementChild;
  for (const [same, each] of pairs) {
    if (same !== null) settle(same, each);
    if (same !== null && same === place) place = place.nextElementSibling;
    else old.insertBefore(same || document.importNode(each, true), place);
  }
}

// What makes two elements of two versions the same: captions count what there is, so that numbers do not.
function key(element) {
  const name = { SECTION: () => element.id, FIGURE: () => `${element.className} ${element.querySelector("h3").textContent}`, DIV: () => (element.getAttribute("aria-label") || "").replace(/\d+/g, "") }[element.tagName];
  return `${element.tagName} ${name ? name() : ""}`;
}

// Change what stands in the page, and keep in its place what is looked at: the first thing within the window.
function steadily(change) {
  const seen = [...document.querySelectorAll("main section > *")].find((each) => each.getBoundingClientRect().bottom > 0);
  const before = seen ? seen.getBoundingClientRect().top : 0;
  change();
  if (seen && seen.isConnected && scrollY > 0) scrollBy({ top: seen.getBoundingClientRect().top - before, behavior: "instant" });
}
