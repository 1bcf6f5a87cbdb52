// Where the user writes, and the line below it that says what became of it.

import { excess } from "./fields.js";

export class Composer {
  #text;
  #hint;
  #usual;
  #onPost;

  // form, text and hint are elements. onPost(text) returns why the text could not be sent, which
  // then stays, or an empty string.
  constructor({ form, text, hint, onPost }) {
    this.#text = text;
    this.#hint = hint;
    this.#usual = hint.textContent;
    this.#onPost = onPost;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#post();
    });
    text.addEventListener("input", () => this.hint(excess(text.value)));
    // Enter sends, Shift+Enter is a new line. The Enter that ends a word of an input method breaks
    // no line.
    let isShifted = false;
    text.addEventListener("keydown", (event) => {
      isShifted = event.shiftKey;
    });
    text.addEventListener("beforeinput", (event) => {
      if (event.inputType !== "insertLineBreak" || isShifted) return;
      event.preventDefault();
      this.#post();
    });
  }

  focus() {
    this.#text.focus();
  }

  // hint shows a sentence under the input; an empty one brings back what index.html says there.
  hint(sentence) {
    const shown = sentence || this.#usual;
    if (this.#hint.textContent !== shown) this.#hint.textContent = shown;
  }

  #post() {
    const text = this.#text.value;
    if (!text.trim()) return;
    const excessive = excess(text);
    const trouble = excessive ? `Not sent, ${excessive}` : this.#onPost(text);
    if (!trouble) this.#text.value = "";
    this.hint(trouble);
  }
}
