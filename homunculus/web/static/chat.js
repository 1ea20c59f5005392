// The chat page: who there is, where we are, and what each event changes. All the state of the page is in `state`.

import { $, el, seal, upright } from "/static/dom.js";
import { call, follow } from "/static/wire.js";
import * as conversation from "/static/conversation.js";
import * as notices from "/static/notices.js";
import { record } from "/static/chronicle.js";

const state = {
  agents: [],
  models: new Map(), // model id → its last progress
  place: "", // the local place on the screen, "" is none
  writing: new Map(), // message id → {place, agent}: turns that are not over
  unread: new Map(), // place → count
};

const agentOf = (id) => state.agents.find((agent) => agent.id === id);
const agentAt = (place) => state.agents.find((agent) => agent.local_places.includes(place));
const nameOf = (id) => agentOf(id)?.card.name ?? id ?? "Nobody";
const messages = (place) => `/api/local/${encodeURIComponent(place)}/messages`;

// --- what there is

async function refresh() {
  const status = await call("/api/status");
  state.agents = status.agents.map((agent, hue) => ({ ...agent, hue }));
  for (const model of status.models) modelChanged(model);
  notices.broken(status);
  adapters(status.adapters);
  company();
  title();
}

function adapters(list) {
  const open = new Set([...document.querySelectorAll(".chip[open]")].map((chip) => chip.dataset.key));
  $("adapters").replaceChildren(...list.map((adapter) => {
    const rules = `${adapter.binding_count} ${adapter.binding_count === 1 ? "rule" : "rules"}`;
    const since = adapter.since ? `, since ${new Date(adapter.since * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "";
    return el("li", {}, el("details", { class: "chip", name: "adapter", "data-state": adapter.state, "data-key": adapter.runtime_key, open: open.has(adapter.runtime_key) },
      el("summary", {}, adapter.runtime_key, el("span", { class: "state" }, adapter.state)),
      el("p", {}, adapter.reason || `${adapter.runtime_key} is ${adapter.state}`, el("br"), el("span", { class: "small" }, `${rules}${since}`))));
  }));
}

function company() {
  const focused = document.activeElement?.closest?.("#agents") ? document.activeElement.getAttribute("href") : null;
  $("agents").replaceChildren(...state.agents.map(agentRow));
  if (!state.agents.length) $("agents").append(el("li", { class: "small" }, "The file names no agents yet."));
  if (focused) document.querySelector(`#agents a[href="${CSS.escape(focused)}"]`)?.focus();
}

function agentRow(agent) {
  const [own, ...rooms] = agent.local_places;
  const unread = own ? state.unread.get(own) : 0;
  const [tone, words] = mind(agent);
  const row = el("a", { href: own ? `#${encodeURIComponent(own)}` : null, "aria-current": own && own === state.place ? "page" : null }, seal(agent),
    el("span", { class: "name" }, agent.card.name, unread ? el("span", { class: "unread", "aria-label": `${unread} unread` }, String(unread)) : ""),
    el("span", { class: "about" }, agent.card.description || agent.character),
    el("span", { class: "mind", "data-state": tone }, el("span", {}, words)));
  const doors = rooms.map((room) => el("a", { class: upright(room), href: `#${encodeURIComponent(room)}`, "aria-current": room === state.place ? "page" : null }, room,
    state.unread.get(room) ? el("span", { class: "unread" }, String(state.unread.get(room))) : ""));
  return el("li", { class: "agent" }, row, doors.length ? el("div", { class: "doors", role: "group", "aria-label": `Places of ${agent.card.name}` }, ...doors) : "");
}

function mind(agent) {
  const model = state.models.get(agent.model);
  if ([...state.writing.values()].some((turn) => turn.agent === agent.id)) return ["busy", "writing…"];
  if (model?.phase === "failed") return ["wrong", `${agent.model} failed`];
  if (model && model.phase !== "ready") {
    const part = model.total ? ` ${Math.floor((model.done / model.total) * 100)} %` : "";
    return ["busy", `${agent.model}: ${model.phase}${part}`];
  }
  return ["fine", agent.provider && agent.provider !== agent.model ? `${agent.model} · ${agent.provider}` : agent.model];
}

function modelChanged(event) {
  state.models.set(event.model, event);
  notices.progress(event);
}

// --- where we are

function title() {
  const agent = agentAt(state.place);
  const own = state.place.startsWith("@");
  $("who-name").textContent = agent ? agent.card.name : state.place || "Nobody yet";
  $("who-where").textContent = !state.place ? "" : agent ? (own ? "in private" : `in ${state.place}`) : "nobody listens here";
  $("who-seal").replaceChildren(...(agent ? [seal(agent)] : []));
  document.title = agent ? `${agent.card.name} · Homunculus` : "Homunculus";
  $("words").placeholder = agent ? `Say something to ${agent.card.name}…` : "Say something…";
}

async function enter() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  document.body.dataset.view = wanted ? "talk" : "company";
  const place = wanted || state.place || state.agents.find((agent) => agent.local_places.length)?.local_places[0] || "";
  // On a touch screen the focus would unroll the keyboard over the greeting.
  const write = () => wanted && !matchMedia("(pointer: coarse)").matches && $("words").focus({ preventScroll: true });
  if (!place || place === state.place) {
    write();
    return company();
  }
  state.place = place;
  state.unread.delete(place);
  title();
  company();
  conversation.open(agentAt(place), place, speak);
  showTyping();
  await catchUp();
  conversation.toEnd();
  write();
}

async function catchUp() {
  const place = state.place;
  if (!place) return;
  const { messages: lines } = await call(messages(place));
  if (place !== state.place) return;
  for (const line of lines) conversation.add(line, agentOf(line.agent_id));
}

function showTyping() {
  const here = [...state.writing.values()].filter((turn) => turn.place === state.place);
  conversation.typing([...new Set(here.map((turn) => nameOf(turn.agent)))]);
}

// --- what is said

async function speak(text) {
  const place = state.place;
  const user = $("me").value.trim() || "Traveller";
  if (!place || !text.trim()) return;
  const line = conversation.add({ author: user, user, text, time: Date.now() / 1000 }, null, { pending: true });
  conversation.toEnd();
  try {
    const { id } = await call(messages(place), { user, text });
    conversation.settle(line, id);
  } catch (fault) {
    line.remove();
    if (place === state.place && !$("words").value) $("words").value = text;
    conversation.remark(`That was not said: ${fault.message}`, true);
  }
}

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("words").value;
  $("words").value = "";
  speak(text);
});
$("words").addEventListener("keydown", (event) => {
  // While an input method composes, Enter picks a word and sends nothing.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("say").requestSubmit();
  }
});
$("me").value = localStorage.getItem("me") ?? $("me").value;
$("me").addEventListener("change", () => localStorage.setItem("me", $("me").value.trim()));

// --- what happens

const heard = {
  message(event) {
    if (event.platform !== "local" || event.what !== "posted") return;
    if (event.receipt === "recorded" && event.agent_id) state.writing.set(event.id, { place: event.place, agent: event.agent_id });
    if (event.place === state.place && event.receipt !== "duplicate") {
      conversation.add({ ...event, agent_id: null }); // its agent is who may answer, not who speaks
      if (event.receipt === "ignored") conversation.remark("Nobody listens here.");
    }
    writingChanged();
  },
  reply(event) {
    if (event.platform !== "local") return;
    if (event.place === state.place) conversation.add({ ...event, time: event.at }, agentOf(event.agent_id));
    else state.unread.set(event.place, (state.unread.get(event.place) ?? 0) + 1);
    company();
  },
  turn(event) {
    for (const id of event.message_ids) state.writing.delete(id);
    writingChanged();
    if (event.platform !== "local" || event.place !== state.place) return;
    if (event.outcome === "failed") conversation.remark(`${nameOf(event.agent_id)} could not answer: ${event.reason}`, true);
    if (event.outcome === "uncertain") conversation.remark(`It is not certain that the answer arrived: ${event.reason}`, true);
    if (event.outcome === "silent") conversation.remark(`${nameOf(event.agent_id)} keeps silent: ${event.reason}`);
  },
  adapter: () => later(),
  reload(event) {
    if (event.result === "applied" && event.changes.length) notices.applied(event);
    later();
  },
  model(event) {
    modelChanged(event);
    company();
  },
  gap: () => resume(),
};

function writingChanged() {
  showTyping();
  company();
}

let waiting = 0;
function later() {
  clearTimeout(waiting);
  waiting = setTimeout(() => refresh().catch(troubled), 80);
}

// Events were missed: forget what is half known and read it all again.
async function resume() {
  state.writing.clear();
  await refresh();
  await enter();
  await catchUp();
  writingChanged();
}

function troubled(fault) {
  notices.notice("trouble", "wrong", el("strong", {}, "The page could not read the server"), `: ${fault.message}`);
}

function wire(now) {
  const was = $("wire").dataset.state;
  $("wire").dataset.state = now;
  $("wire").textContent = now === "live" ? "live" : "reconnecting";
  if (now === "live") {
    notices.dismiss("trouble");
    if (was === "lost") later();
  }
}

addEventListener("hashchange", () => enter().catch(troubled));
await refresh().then(enter).catch(troubled);
follow((kind, event) => {
  record(kind, event, nameOf);
  heard[kind]?.(event);
}, wire);
