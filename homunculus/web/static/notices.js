// What the operator should see above the rooms: a broken save until it is mended, a save that went live, models getting ready.

import { $, el } from "/static/dom.js";

const shown = new Map();

export function notice(key, tone, ...content) {
  const fresh = el("div", { class: "notice", "data-tone": tone }, el("div", {}, ...content));
  const old = shown.get(key);
  if (old) old.replaceWith(fresh);
  else $("notices").append(fresh);
  shown.set(key, fresh);
  return fresh;
}

export function dismiss(key) {
  shown.get(key)?.remove();
  shown.delete(key);
}

export function broken(status) {
  if (status.running_equals_file || !status.errors.length) return dismiss("broken");
  const count = status.errors.length;
  const title = count === 1 ? "The file has an error" : `The file has ${count} errors`;
  notice("broken", "wrong", el("strong", {}, title), "; what ran before goes on. Mend it, and it goes live by itself.",
    el("ul", {}, ...status.errors.map(finding)));
}

const finding = (error) => el("li", {}, el("code", {}, error.location), " ", error.path ? `${error.path}: ` : "", error.message,
  error.hint ? el("span", { class: "fix" }, ` — ${error.hint}`) : "");

export function applied(event) {
  const count = event.changes.length;
  const title = `Saved: ${count} ${count === 1 ? "change" : "changes"} live`;
  const close = el("button", { class: "quiet", type: "button", on: { click: () => dismiss("applied") } }, "Close");
  const made = notice("applied", "fine", el("strong", {}, title), el("ul", {}, ...event.changes.slice(0, 8).map((change) => el("li", {}, change))));
  made.append(close);
  setTimeout(() => shown.get("applied") === made && dismiss("applied"), 12_000);
}

const PHASES = { fetching: "is being fetched", loading: "is loading", warming: "is warming up" };
const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);

export function progress(event) {
  const key = `model ${event.model}`;
  if (event.phase === "ready") return dismiss(key);
  if (event.phase === "failed") return void notice(key, "wrong", el("strong", {}, `The model ${event.model} failed`), event.detail ? `: ${event.detail}` : "");
  const measured = event.total > 0;
  const amount = measured ? ` — ${megabytes(event.done)} of ${megabytes(event.total)} MB` : "";
  const label = `The model ${event.model} ${PHASES[event.phase]}${amount}`;
  const bar = el("progress", { "aria-label": label, ...(measured ? { max: event.total, value: event.done } : {}) });
  notice(key, "busy", el("strong", {}, `The model ${event.model}`), ` ${PHASES[event.phase]}${amount}`, event.detail ? el("span", { class: "fix" }, ` ${event.detail}`) : "", bar);
}
