// A burst: many small messages at once, and an honest account of what came back.

import { count } from "./format.js";
import { token } from "./settings.js";

const size = 1000;
const patience = 15_000; // ms without another echo

export class Burst {
  #waiting = new Map(); // id → seq
  #running = false;
  #back = 0;
  #ordered = true;
  #started = 0;
  #timer = 0;
  #send;
  #onDone;

  // send(message) returns whether the browser took it; onDone gets {back, text} when all is back,
  // or no more will come.
  constructor({ send, onDone }) {
    this.#send = send;
    this.#onDone = onDone;
  }

  get running() {
    return this.#running;
  }

  start() {
    this.#waiting.clear();
    this.#running = true;
    this.#back = 0;
    this.#ordered = true;
    this.#started = performance.now();
    for (let seq = 0; seq < size; seq++) {
      const id = token();
      this.#waiting.set(id, seq);
      this.#send({ kind: "burst", id, seq, text: `burst message ${count(seq + 1)} of ${count(size)}` });
    }
    this.#wait();
  }

  // echo tells whether a message is one of this burst's that comes back, and counts it. It is ours
  // by its id, which nobody knows before.
  echo({ id }) {
    const seq = this.#waiting.get(id);
    if (!this.#waiting.delete(id)) return false;
    if (!this.#running) return true; // given up, and it came after all
    if (seq !== this.#back) this.#ordered = false;
    this.#back++;
    if (this.#back === size) this.#finish("");
    else if (this.#back % 100 === 0) this.#wait();
    return true;
  }

  // lost ends a running burst with the connection.
  lost() {
    if (this.running) this.#finish(" The connection was lost meanwhile.");
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#finish(` Nothing more came for ${patience / 1000} s.`), patience);
  }

  #finish(trouble) {
    clearTimeout(this.#timer);
    const ms = performance.now() - this.#started;
    const order = this.#ordered ? "all in order" : "not in order";
    const rate = count((this.#back * 1000) / ms);
    this.#running = false;
    this.#onDone({
      back: this.#back,
      text: `${count(this.#back)} of ${count(size)} back in ${count(ms)} ms, ${order}: ${rate} per second.${trouble}`,
    });
  }
}
