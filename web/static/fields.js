// What may stand in the page's fields, said in the browser's own way, and how the link leaves the
// page.

import { count, plural } from "./format.js";
import { nameMax, textMax } from "./message.js";
import * as settings from "./settings.js";

export function checkToken(input) {
  const isGood = settings.isToken(input.value.trim());
  input.setCustomValidity(isGood ? "" : "Letters, digits and - . _ ~ + only, as in a JWT");
}

export function checkRoom(input) {
  input.setCustomValidity(settings.isRoom(input.value) ? "" : "Letters, digits and _ . : ~ - only, 1 to 128 of them");
}

export function checkName(input) {
  const excess = input.value.trim().length - nameMax;
  input.setCustomValidity(excess > 0 ? `${plural(excess, "character", "characters")} too many: a name has at most ${nameMax}` : "");
}

// excess says what is wrong with the length of a message, if anything is.
export function excess(text) {
  const n = text.length - textMax;
  return n > 0 ? `${plural(n, "character", "characters")} too many: a message has at most ${count(textMax)}.` : "";
}

// copyLink copies the page's address, and returns what to say of it; input shows it where no page
// may copy.
export async function copyLink(input) {
  try {
    await navigator.clipboard.writeText(location.href); // on https and localhost only, and if it is allowed
  } catch {
    input.hidden = false;
    input.value = location.href;
    input.select();
    const isCopied = document.execCommand("copy");
    input.hidden = isCopied;
    if (!isCopied) return "This browser lets no page copy. The link stands above.";
  }
  return "Link copied. Whoever opens it joins this room.";
}
