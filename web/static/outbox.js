// Messages of this page whose echo has not come yet. The echo is the proof of delivery: the room
// got what we get.

import { millis } from "./format.js";
import { token } from "./settings.js";

const echoWithin = 10_000; // ms
const waitingMax = 1000; // messages that failed and may come after all, in a room that keeps what was said

export class Outbox {
  #waiting = new Map(); // id → {entry, sent, timer}; failed ones stay: a late echo still counts
  #log;
  #send;
  #onSample;
  #seq = 0;

  // send(message) returns whether the browser took it; onSample gets the ms of a round trip.
  constructor({ log, send, onSample }) {
    this.#onSample = onSample;
    this.#log = log;
    this.#send = send;
  }

  // post sends a new message and shows it as pending. It returns false, with nothing shown, when
  // there is no connection.
  post(who, text, room) {
    const message = { kind: "chat", id: token(), seq: this.#seq++, text };
    if (!this.#send(message)) return false;
    this.#await(this.#log.addOwn({ who, text, message, room }));
    return true;
  }

  // again sends a failed message once more under its old id, so that pages which did get it do not
  // show it twice.
  again(entry) {
    if (!this.#send(entry.message)) return false;
    this.#log.resent(entry);
    this.#await(entry);
    return true;
  }

  // echo tells whether a message was awaited. Nobody can know an id before its message is in the
  // room, so what is awaited is ours, whoever says so.
  echo({ id, text }) {
    const waiting = this.#waiting.get(id);
    if (waiting?.entry.text !== text) return false;
    clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    const ms = performance.now() - waiting.sent;
    this.#log.delivered(waiting.entry, `delivered in ${millis(ms)} ms`);
    if (!waiting.isLost) this.#onSample(ms);
    return true;
  }

  // lost marks everything that waits. Its echo comes only if the room keeps it for this page.
  lost() {
    for (const id of this.#waiting.keys()) this.fail(id);
  }

  // fail marks one message, of which the gateway said that it did not take it, and tells whether it
  // was awaited.
  fail(id) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return false;
    clearTimeout(waiting.timer);
    waiting.isLost = true;
    this.#log.failed(waiting.entry);
    return true;
  }

  #await(entry) {
    const timer = setTimeout(() => this.#log.failed(entry), echoWithin);
    this.#waiting.set(entry.message.id, { entry, sent: performance.now(), timer, isLost: false });
    if (this.#waiting.size > waitingMax) this.#waiting.delete(this.#waiting.keys().next().value);
  }
}
