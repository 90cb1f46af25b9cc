"use strict";
// The connection to whoever serves the page: it tells of what is new. While nobody looks at the page there is none.

const STATES = { finished: "\u2713", running: "\u25b6", stopped: "\u275a\u275a", crashed: "\u2717", damaged: "!", gone: "\u2205" };

// A state by a sign, a word and a colour, each of which says it.
function badge(state) {
  const known = Object.hasOwn(STATES, state);
  return html("span", { class: `badge ${known ? state : "damaged"}` }, html("span", { "aria-hidden": "true" }, known ? STATES[state] : "!"), ` ${state}`);
}

function progress(round, planned) {
  const told = planned === null ? `round ${shortly(round)}` : `round ${shortly(round)} of ${shortly(planned)}`;
  const bar = planned === null ? null : html("progress", { max: Math.max(1, planned), value: Math.min(round, planned), "aria-label": told });
  return html("span", { class: "progress" }, bar, ` ${told}`);
}

// Call with what the server tells, at once and whenever it is new; and tell whether the server is there.
function connected(address, take, tell) {
  let source = null;
  const open = () => {
    if (source !== null || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("open", () => tell("live"));
    source.addEventListener("message", (event) => take(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      tell("not connected; trying again");
      if (source.readyState !== EventSource.CLOSED) return;
      source = null;
      setTimeout(open, 3000);
    });
  };
  const close = () => {
    if (source !== null) source.close();
    source = null;
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}

function connection() {
  const output = html("output", { class: "connection", "aria-live": "polite" }, "connecting");
  const tell = (said) => {
    say(output, said);
    output.classList.toggle("lost", said !== "live");
  };
  return [output, tell];
}
