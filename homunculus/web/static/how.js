// The trace of one reply: which rule, which stages, how long each took, and the model that produced it.

import { call } from "/static/wire.js";
import { $, el } from "/static/dom.js";

const duration = (seconds) => (seconds >= 1 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds * 1000)} ms`);

export async function how(messageId, name) {
  $("how-title").textContent = `How ${name} came to say this`;
  $("how-body").replaceChildren(el("p", { class: "small" }, "Looking it up…"));
  $("how").showModal();
  try {
    $("how-body").replaceChildren(...told(await call(`/api/trace/${encodeURIComponent(messageId)}`)));
  } catch (fault) {
    $("how-body").replaceChildren(el("p", {}, fault.message));
  }
}

function told(trace) {
  const model = trace.model ? `${trace.model} (${trace.provider})` : "none";
  const facts = [["Model", model], ["Rule", trace.rule || "—"], ["Outcome", trace.reason ? `${trace.outcome}: ${trace.reason}` : trace.outcome], ["Place", trace.conversation]];
  for (const attempt of trace.attempts) facts.push(["Tried", `${attempt.model}: ${attempt.reason}`]);
  return [el("dl", {}, ...facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])), stages(trace.stages)];
}

function stages(spans) {
  const begin = Math.min(...spans.map((span) => span.started));
  const length = Math.max(...spans.map((span) => span.ended)) - begin || 1;
  return el("ol", { class: "stages" }, ...spans.map((span) => {
    const bar = el("i");
    bar.style.setProperty("--from", `${((span.started - begin) / length) * 100}%`);
    bar.style.setProperty("--part", `${((span.ended - span.started) / length) * 100}%`);
    return el("li", {}, el("span", {}, span.stage), el("span", { class: "bar", "aria-hidden": "true" }, bar),
      el("span", { class: "ms" }, duration(span.ended - span.started)), span.detail ? el("span", { class: "found" }, span.detail) : "");
  }));
}

$("how-close").addEventListener("click", () => $("how").close());
$("how").addEventListener("click", (event) => event.target === $("how") && $("how").close());
