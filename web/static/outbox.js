// Messages of this page whose echo has not come yet. The echo is the proof of delivery: the room got what we get.

import { millis } from "./format.js";
import { token } from "./settings.js";

const echoWithin = 10_000; // ms

export class Outbox {
  #waiting = new Map(); // id → {entry, sent, timer}; failed ones stay, since a late echo still counts
  #log;
  #send;
  #seq = 0;

  // send(message) returns whether the browser took it.
  constructor({ log, send }) {
    this.#log = log;
    this.#send = send;
  }

  // post sends a new message and shows it as pending. It returns false, with nothing shown, when there is no connection.
  post(who, text, room) {
    const message = { kind: "chat", id: token(), seq: this.#seq++, text };
    if (!this.#send(message)) return false;
    this.#await(this.#log.addOwn({ who, text, message, room }));
    return true;
  }

  // again sends a failed message once more under its old id, so that pages which did get it do not show it twice.
  again(entry) {
    if (!this.#send(entry.message)) return false;
    this.#log.resent(entry);
    this.#await(entry);
    return true;
  }

  // echo returns the round-trip time in ms, or nothing for a message that was not awaited. Nobody can know
  // an id before its message is in the room, so what is awaited is ours, whoever says so.
  echo({ id, text }) {
    const waiting = this.#waiting.get(id);
    if (waiting?.entry.text !== text) return undefined;
    clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    const ms = performance.now() - waiting.sent;
    this.#log.delivered(waiting.entry, `delivered in ${millis(ms)} ms`);
    return ms;
  }

  // lost marks everything that waits: its echo cannot come on a new connection.
  lost() {
    for (const { entry, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      this.#log.failed(entry);
    }
    this.#waiting.clear();
  }

  #await(entry) {
    const timer = setTimeout(() => this.#log.failed(entry), echoWithin);
    this.#waiting.set(entry.message.id, { entry, sent: performance.now(), timer });
  }
}
