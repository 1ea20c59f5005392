// Makes elements. Text goes in as text and nothing else: no string from anywhere becomes markup.

export const $ = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const letters = new Intl.Segmenter(undefined, { granularity: "grapheme" });

export function seal(agent, size = "") {
  const { name, portrait } = agent.card;
  const first = [...letters.segment(name.trim())][0]?.segment ?? "?";
  const made = el("span", { class: `seal wax-${agent.hue % 8} ${size}`, "aria-hidden": "true" }, first.toUpperCase());
  if (portrait) {
    const image = el("img", { src: portrait, alt: "" });
    image.addEventListener("load", () => made.replaceChildren(image)); // the letter stays when the picture cannot be had
  }
  return made;
}

export function clock(seconds) {
  const time = new Date(seconds * 1000);
  const words = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  return el("time", { datetime: time.toISOString(), title: time.toLocaleString() }, words);
}

// Han, kana and hangul have no italics: a slanted imitation hurts the eye.
export const upright = (text) => (/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u.test(text) ? "upright" : "");

// *What is done* in an NPC's line is set in italics, as at the table; everything else stays as it is.
export function spoken(text) {
  return text.split(/(\*[^*\n]+\*)/).map((part) =>
    part.length > 2 && part.startsWith("*") && part.endsWith("*") ? el("em", { class: upright(part) }, part.slice(1, -1)) : part);
}
