// The chronicle: the last things that happened anywhere, the latest first.

import { $, clock, el } from "/static/dom.js";

const KEPT = 80;

export function record(kind, event, names) {
  const told = line(kind, event, names);
  if (!told) return;
  const [words, place, tone] = told;
  const list = $("chronicle-lines");
  list.querySelector(".nothing")?.remove();
  list.prepend(el("li", { "data-tone": tone }, clock(event.at), el("span", {}, place ? el("span", { class: "place" }, place) : "", ...words)));
  while (list.children.length > KEPT) list.lastElementChild.remove();
}

function line(kind, event, names) {
  if (event.platform === "local") return null; // the conversations show these
  const who = names(event.agent_id);
  switch (kind) {
    case "message":
      return event.what === "posted" && event.receipt === "recorded" ? [[el("b", {}, event.author), ` ${event.text}`], event.conversation] : null;
    case "reply":
      return [[el("b", {}, event.author), ` ${event.text}`], event.conversation];
    case "turn":
      return ["failed", "uncertain"].includes(event.outcome) ? [[`${who} could not answer: ${event.reason}`], event.conversation, "wrong"] : null;
    case "adapter":
      return [[el("b", {}, event.runtime_key), ` is ${event.state}${event.reason ? `: ${event.reason}` : ""}`], "", event.state === "failed" ? "wrong" : ""];
    case "reload":
      return reloaded(event);
    case "model":
      return event.phase === "ready" || event.phase === "failed" ? [[`The model ${event.model} is ${event.phase}`], "", event.phase === "failed" ? "wrong" : ""] : null;
    default:
      return null;
  }
}

function reloaded(event) {
  if (event.result === "refused") return [[`The save was refused: ${event.errors[0] ?? ""}`], "", "wrong"];
  if (event.result === "unchanged") return null;
  return [[`Generation ${event.generation} is live`, ...event.changes.map((change) => el("span", { class: "place" }, change))], ""];
}

$("chronicle-open").addEventListener("click", () => {
  const open = document.body.toggleAttribute("data-chronicle");
  $("chronicle-open").setAttribute("aria-expanded", String(open));
  if (open) $("chronicle-lines").focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.body.hasAttribute("data-chronicle")) $("chronicle-open").click();
});
