// Who and where: this tab's identity, and the name and room the user chose, remembered between
// visits.

import { nameMax } from "./message.js";

// One id per page load, not per browser: two tabs are two people, and a duplicated tab must not
// think that the other's messages are its own. getRandomValues works on plain http too; randomUUID
// does not.
export const ownId = token();

const roomPattern = /^[A-Za-z0-9_.:~-]{1,128}$/;

// token returns 16 random hexadecimal digits.
export function token() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export function isRoom(room) {
  return roomPattern.test(room) && room !== "." && room !== "..";
}

// The room in the address wins over the remembered one: whoever follows a link wants to be where it
// points.
export function currentRoom() {
  return roomInAddress() || [read("sluice.room")].find(isRoom) || "lobby";
}

// roomInAddress returns the room that the fragment names, or an empty string if it names none that
// is legal.
export function roomInAddress() {
  let room = location.hash.slice(1).split("&")[0];
  try {
    room = decodeURIComponent(room);
  } catch {
    return "";
  }
  return isRoom(room) ? room : "";
}

const tokenPattern = /^[A-Za-z0-9._~+-]*$/;

// isToken reports whether a text can be sent as a token, or is empty: none.
export function isToken(text) {
  return tokenPattern.test(text);
}

// takeToken moves a token that stands behind the room in the address, as #room&token=…, to where
// this tab keeps it, so that it is in no link that is copied; the part behind # is sent to nobody.
export function takeToken() {
  const part = location.hash.slice(1).split("&").find((p) => p.startsWith("token="));
  if (part === undefined) return;
  const token = part.slice("token=".length);
  history.replaceState(null, "", `#${roomInAddress()}`);
  if (isToken(token)) rememberToken(token);
}

// The token is this tab's, and goes with it; on disk or in other tabs it has no place.
export function currentToken() {
  try {
    return sessionStorage.getItem("sluice.token") || "";
  } catch {
    return kept;
  }
}

export function rememberToken(token) {
  kept = token;
  try {
    if (token) sessionStorage.setItem("sluice.token", token);
    else sessionStorage.removeItem("sluice.token");
  } catch {
    return;
  }
}

let kept = ""; // where storage is forbidden

// replaceState instead of location.hash: it fires no hashchange and adds no step to the Back
// button.
export function rememberRoom(room) {
  history.replaceState(null, "", `#${room}`);
  write("sluice.room", room);
}

// A name that the user never chose is not stored, so that a second tab is a second guest.
export function currentName() {
  return (read("sluice.name") || "").slice(0, nameMax) || `guest ${100 + Math.floor(Math.random() * 900)}`;
}

export function rememberName(name) {
  write("sluice.name", name);
}

// Storage throws where the user has forbidden it; the page then forgets, and works.
function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    return;
  }
}
