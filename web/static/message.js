// What this page writes into a room, and how it reads what comes out of one.
//
// A raw room relays opaque frames, so other programs may send anything at all. Only text that has exactly our shape is taken for
// ours; all the rest is shown as what it is.

const textMax = 2000;
const idMax = 64;
const kinds = new Set(["chat", "burst", "ping"]);

export function encode(message) {
  return JSON.stringify({ v: 1, ...message });
}

// decode returns {kind, id, from: {id, name}, text, at, ...} for our own messages and {kind: "foreign", who, text} for others.
export function decode(data) {
  if (typeof data !== "string") {
    return { kind: "foreign", who: "unknown sender", text: `binary, ${data.byteLength.toLocaleString("en")} bytes` };
  }
  return ours(data) ?? { kind: "foreign", who: "unknown, plain text", text: clip(data) };
}

function ours(data) {
  if (!data.startsWith("{")) return null;
  let m;
  try {
    m = JSON.parse(data);
  } catch {
    return null;
  }
  const shaped = m.v === 1 && kinds.has(m.kind) && isId(m.id) && isId(m.from?.id) &&
    typeof m.from.name === "string" && typeof m.text === "string" && Number.isSafeInteger(m.seq);
  if (!shaped) return null;
  return { ...m, from: { id: m.from.id, name: clip(m.from.name, 32) }, text: clip(m.text) };
}

function isId(id) {
  return typeof id === "string" && id.length > 0 && id.length <= idMax;
}

// A message may have a megabyte, which no list should lay out.
function clip(text, max = textMax) {
  if (text.length <= max) return text;
  return `${text.slice(0, max)}… (${text.length.toLocaleString("en")} characters in all)`;
}
