// How many are in the room in view: asked for now and then, and at once when somebody comes or
// goes, as far as the gateway tells it.

const askEvery = 5_000; // ms
const settleFor = 300; // ms after somebody came or went, since many do so at a time

export class Presence {
  #ask;
  #onCount;
  #room = "";
  #timer = 0;

  // ask(room, onCount) asks the gateway; onCount gets a number, or undefined where it is not told.
  constructor({ ask, onCount }) {
    this.#ask = ask;
    this.#onCount = onCount;
    document.addEventListener("visibilitychange", () => this.#room && this.watch(this.#room));
  }

  // watch asks for a room now and then on, while somebody sees the page.
  watch(room) {
    clearTimeout(this.#timer);
    if (room !== this.#room) this.#onCount(undefined);
    this.#room = room;
    if (!document.hidden) this.#now();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#room = "";
    this.#onCount(undefined);
  }

  // changed says that somebody came to a room, or left it.
  changed(room) {
    if (room === this.#room) this.#in(settleFor);
  }

  #now() {
    const room = this.#room;
    this.#in(askEvery);
    this.#ask(room, (n) => {
      if (room !== this.#room) return;
      this.#onCount(n);
      if (n === undefined) clearTimeout(this.#timer); // It is not permitted, and will not be on this connection.
    });
  }

  #in(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#now(), ms);
  }
}
