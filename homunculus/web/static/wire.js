// Talks to the API: JSON calls, and the stream of events read by fetch. The session cookie is all it needs; it knows no token.

export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.details = error.details ?? [];
  }
}

export async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, { ...options, credentials: "same-origin" });
  if (answer.status === 401) location.reload(); // the session is over: the door says how to get in
  const content = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, content.error ?? { message: answer.statusText });
  return content;
}

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

// Follow the events for ever: `heard(kind, data)` for each, `state("live" | "lost")` as the line comes and goes.
export async function follow(heard, state) {
  let last = "";
  let wait = 500;
  for (;;) {
    try {
      const answer = await fetch("/api/events", { headers: last ? { "Last-Event-ID": last } : {}, cache: "no-store" });
      if (answer.status === 401) location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      state("live");
      wait = 500;
      for await (const frame of frames(answer.body)) {
        if (frame.id) last = frame.id;
        if (frame.data) heard(frame.event, JSON.parse(frame.data));
      }
    } catch (fault) {
      console.debug("the event stream ended", fault);
    }
    state("lost");
    await pause(wait);
    wait = Math.min(wait * 2, 10_000);
  }
}

async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      yield parsed(text.slice(0, end));
      text = text.slice(end + 2);
    }
  }
}

function parsed(block) {
  const frame = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) frame[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
  }
  return frame;
}
