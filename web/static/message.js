// What this page writes into a room, and how it reads what comes out of one.
//
// A raw room relays opaque frames, so anybody may send anything at all. Only text that has exactly
// our shape is taken for ours, and of that only the fields named here; all the rest is shown as
// what it is.

import { count } from "./format.js";

export const textMax = 2000; // UTF-16 units, as everywhere on this page
export const nameMax = 32;
const idMax = 64;
const dataMax = 16 * 1024; // ours with every character escaped has less
const kinds = new Set(["chat", "burst", "ping"]);

export function encode(message) {
  return JSON.stringify({ v: 1, ...message });
}

// decode returns {kind, id, seq, sender, who, text, sentAt} for our own messages and
// {kind: "foreign", who, text} for others. sentAt is a Date, or nothing.
export function decode(data) {
  if (typeof data !== "string") {
    return { kind: "foreign", who: "unknown sender", text: `binary, ${count(data.byteLength)} bytes` };
  }
  return ours(data) ?? { kind: "foreign", who: "unknown, plain text", text: clip(data) };
}

function ours(data) {
  if (data.length > dataMax || !data.startsWith("{")) return null;
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return null;
  }
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
