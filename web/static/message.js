// What this page writes into a room, and how it reads what comes out of one.
//
// A room relays whatever it is given, so anybody may send anything at all. Only what has exactly
// our shape is taken for ours, and of that only the fields named here; all the rest is shown as
// what it is.

import { count, plural } from "./format.js";

export const textMax = 2000; // UTF-16 units, as everywhere on this page
export const nameMax = 32;
const idMax = 64;
const kinds = new Set(["chat", "burst", "ping"]);

export function encode(message) {
  return { v: 1, ...message };
}

// decode takes a publication's data, any value of JSON, and its tags. It returns {kind, id, seq,
// sender, who, text, sentAt} for our own messages and {kind: "foreign", who, text} for others.
// sentAt is a Date, or nothing.
export function decode(data, tags) {
  if (tags?.encoding === "base64" && typeof data === "string") {
    return { kind: "foreign", who: "unknown sender", text: `binary, ${plural(sizeOf(data), "byte", "bytes")}` };
  }
  return ours(data) ?? { kind: "foreign", who: "unknown, plain text", text: clip(typeof data === "string" ? data : JSON.stringify(data)) };
}

function sizeOf(base64) {
  return Math.floor((base64.replace(/=+$/, "").length * 3) / 4);
}

function ours(message) {
  if (typeof message !== "object" || message === null) return null;
  const { v, kind, id, seq, from, text, at } = message;
  const isShaped = v === 1 && kinds.has(kind) && isId(id) && Number.isSafeInteger(seq) &&
    isId(from?.id) && typeof from.name === "string" && typeof text === "string";
  if (!isShaped) return null;
  // Named one by one: a field that a stranger added must not come to mean something further on.
  return { kind, id, seq, sender: from.id, who: cleanName(from.name), text: clip(text), sentAt: date(at) };
}

function isId(id) {
  return typeof id === "string" && id.length > 0 && id.length <= idMax;
}

// A name is one short line, and nothing in it turns the text around or hides the rest of it.
function cleanName(name) {
  const clean = name.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, " ").trim();
  return /^[\s\p{Default_Ignorable_Code_Point}]*$/u.test(clean) ? "no name" : cut(clean, nameMax);
}

// A message may have a megabyte, which no list should lay out.
function clip(text) {
  return text.length <= textMax ? text : `${cut(text, textMax)} (${count(text.length)} characters in all)`;
}

// A slice keeps what it was cut from in memory; what is put together from characters does not.
function cut(text, max) {
  return text.length <= max ? text : `${Array.from(text.slice(0, max).toWellFormed()).join("")}…`;
}

function date(at) {
  const date = new Date(typeof at === "number" ? at : NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
