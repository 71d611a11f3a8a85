// The states of members, in words; shapes are in icons.html, colours in tokens.css.

import { el, icon } from "./dom.js";

export const ORDER = ["DEAD", "SUSPECT", "DRAINING", "STARTING", "UP", "STOPPED"];

const WORDS = {
  UP: "Up",
  STARTING: "Starting",
  DRAINING: "Draining",
  STOPPED: "Stopped",
  DEAD: "Dead",
  SUSPECT: "Suspect",
};

const MEANING = {
  UP: "takes sessions",
  STARTING: "not ready yet",
  DRAINING: "gives up its sessions and takes no new ones",
  STOPPED: "stopped on purpose",
  DEAD: "its heartbeat is gone",
};

export const word = (state) => WORDS[state] ?? state;

export const isGone = (member) => member.state === "DEAD" || member.state === "STOPPED";

/** The one word for a member: a node that is up but cannot be reached by a proxy is suspect. */
export const shownState = (member) => (member.suspected_by?.length && member.state === "UP" ? "SUSPECT" : member.state);

export function pill(state, text = word(state), title = MEANING[state] ?? "") {
  return el("span", { class: "pill", "data-state": state, title }, icon(state), text);
}

/** The pills of a member: its state and, apart from it, who suspects it. */
export function pills(member) {
  const found = [pill(member.state)];
  if (member.suspected_by?.length) {
    const by = member.suspected_by.join(", ");
    found.push(pill("SUSPECT", "Suspect", `no link from ${by}, which routes around it`));
  }
  return found;
}
