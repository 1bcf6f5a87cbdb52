// The token that says who this page is: it stands in a field or came with a link, and is good for a
// while. Another one is for the user to bring, who is asked for it before that is over.

import { checkToken } from "./fields.js";
import * as settings from "./settings.js";

const askBefore = 60; // s, or half of its time
const longest = 1_000_000; // s; no page is open for longer, and timers have an end

export class Token {
  inUse = "";
  isDue = false; // it ends soon
  #box;
  #input;
  #on;
  #timer = 0;

  // box is the element with the input. onDue gets in how many seconds the token ends; onOther is
  // called when another one stands in the field by then.
  constructor({ box, input, ...on }) {
    this.#box = box;
    this.#input = input;
    this.#on = on;
    input.addEventListener("input", () => checkToken(input));
    input.addEventListener("change", () => this.isDue && this.#offer());
  }

  show() {
    this.#box.hidden = false;
  }

  // remember is what the field says of who the page is to be.
  remember() {
    settings.rememberToken(this.#input.value.trim());
  }

  // isOther tells whether the page is to be somebody else than it has said, or by another token.
  isOther() {
    return settings.currentToken() !== this.inUse;
  }

  // take returns the token to say who the page is by, from now on.
  take() {
    clearTimeout(this.#timer);
    this.isDue = false;
    this.inUse = settings.currentToken();
    if (this.inUse) this.show(); // So that it can be seen that there is one, and taken away.
    this.#input.value = this.inUse;
    return this.inUse;
  }

  // lasts says for how many seconds the token in use is good.
  lasts(seconds) {
    clearTimeout(this.#timer);
    const left = Math.min(askBefore, seconds / 2);
    if (seconds > longest) return;
    this.#timer = setTimeout(() => {
      this.isDue = true;
      this.show();
      const isWriting = document.activeElement === this.#input;
      if (isWriting || !this.#offer()) this.#on.onDue(Math.ceil(left));
    }, (seconds - left) * 1000);
  }

  // offer takes what stands in the field, if it is another token.
  #offer() {
    const offered = this.#input.value.trim();
    if (!offered || offered === this.inUse || !this.#input.checkValidity()) return false;
    this.remember();
    this.#on.onOther();
    return true;
  }
}
