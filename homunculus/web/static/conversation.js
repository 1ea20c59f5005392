// One conversation on the screen: its lines, who is writing, and what went wrong. Knows nothing of the network.

import { $, clock, el, seal, spoken, upright } from "/static/dom.js";
import { how } from "/static/how.js";

const log = $("log");
const frame = $("log-frame");

// Who reads the end keeps reading the end, whatever grows or shrinks; who scrolled up is left alone.
let atEnd = true;
export const toEnd = () => { frame.scrollTop = frame.scrollHeight; atEnd = true; };
frame.addEventListener("scroll", () => { atEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 120; }, { passive: true });
new ResizeObserver(() => atEnd && log.children.length && toEnd()).observe(frame);

function follow(change) {
  const stay = atEnd;
  change();
  if (stay) toEnd();
}

export function open(agent, place, speak) {
  log.replaceChildren();
  $("opening").replaceChildren(...(agent ? opening(agent, speak) : [el("h3", {}, place), el("p", { class: "about" }, "Nobody listens here.")]));
}

function opening(agent, speak) {
  const { name, description, greeting, language } = agent.card;
  const words = greeting.replaceAll(/\{\{char\}\}|<BOT>/gi, name).replaceAll(/\{\{user\}\}|<USER>/gi, $("me").value);
  const lines = /^(zh|cmn|chinese|中)/i.test(language) ? ["你好。", "你是谁？"] : ["Good evening.", "Who are you?"];
  const starters = lines.map((line) => el("button", { class: "quiet", type: "button", on: { click: () => speak(line) } }, line));
  return [seal(agent, "big"), el("h3", {}, name), description ? el("p", { class: "about" }, description) : "",
    el("div", { class: "flourish" }), greeting ? el("p", { class: `greeting ${upright(words)}` }, words) : "",
    el("div", { class: "starters", id: "starters" }, ...starters)].filter(Boolean);
}

export const has = (id) => Boolean(log.querySelector(`[data-id="${CSS.escape(id)}"]`));

// `post` is {id, author, user, agent_id, text, time}; a line that is shown already is not shown again.
export function add(post, agent, { pending = false } = {}) {
  if (post.id && has(post.id)) return null;
  const mine = Boolean(post.user); // the program's own answers to commands have neither a user nor an agent
  const early = mine && !pending && [...log.querySelectorAll(".line.pending")].find(
    (line) => line.dataset.by === post.author && line.querySelector(".bubble").textContent === post.text);
  if (early) { // our own words, and the stream was faster than the answer to saying them
    settle(early, post.id);
    return null;
  }
  const before = log.lastElementChild;
  const more = before?.dataset.by === (post.agent_id ?? post.author) && before.classList.contains("mine") === mine;
  const link = mine ? "" : el("button", { class: "how-link", type: "button", "aria-label": `how ${post.author} came to say this`, on: { click: () => how(post.id, post.author) } }, "how");
  const bubble = el("div", { class: "bubble" }, ...(mine ? [post.text] : spoken(post.text)));
  const line = el("li", { class: `line ${mine ? "mine" : ""} ${more ? "more" : ""} ${pending ? "pending" : ""}`, "data-id": post.id, "data-by": post.agent_id ?? post.author },
    el("div", { class: "by" }, el("b", {}, post.author), clock(post.time)), mine || !agent ? "" : seal(agent, "tiny"), el("div", { class: "body" }, bubble, link));
  follow(() => log.append(line));
  $("starters")?.remove();
  return line;
}

// The message got its id: from the answer or from the stream, whichever was faster.
export function settle(line, id) {
  line.classList.remove("pending");
  const twin = log.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (twin && twin !== line) twin.remove();
  line.dataset.id = id;
}

export function remark(words, wrong = false) {
  follow(() => log.append(el("li", { class: `aside ${wrong ? "wrong" : ""}` }, words)));
}

export function typing(names) {
  const shown = $("typing");
  follow(() => {
    shown.hidden = names.length === 0;
    shown.replaceChildren(el("span", { class: "quill", "aria-hidden": "true" }, el("i"), el("i"), el("i")), `${names.join(", ")} ${names.length > 1 ? "are" : "is"} writing…`);
  });
}
