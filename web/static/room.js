// One room of the page: what was said in it, what the page missed of it, and how the page stands
// there.

import { plural } from "./format.js";
import { Log } from "./log.js";
import { Outbox } from "./outbox.js";

const seenMax = 1000; // ids of messages shown, so that one sent again is not shown twice

export class Room {
  name;
  panel;
  log;
  outbox;
  isIn = false; // now
  isReadOnly = false; // for us
  unread = 0;
  #wasIn = false; // since joining it
  #told = new Set(); // why the page is not in it, as far as the log says it already
  #seen = new Set();
  #missed = null; // {entry, at, newest, offsets}, while what was missed comes

  // panel is the element that shows it; send(message) returns whether the browser took it.
  constructor({ name, panel, send, onResend, onSample }) {
    const part = (kind) => panel.querySelector(`.${kind}`);
    this.name = name;
    this.panel = panel;
    this.log = new Log({ list: part("log"), newer: part("newer"), empty: part("empty"), spoken: part("spoken"), onResend });
    this.outbox = new Outbox({ log: this.log, send, onSample });
  }

  // receive shows a message that came and returns whether it is one of others that was not shown
  // before. isOurs is whether it is one of this page's bursts.
  receive(message, offset, isOurs) {
    const isNews = message.kind !== "ping" && this.#show(message, isOurs);
    if (this.#missed) {
      if (isNews) this.#missed.offsets.push(offset);
      this.#missed.at = offset;
      this.#countMissed();
    }
    return isNews;
  }

  #show(message, isOurs) {
    if (message.kind !== "chat") {
      this.log.add({ ...message, own: isOurs });
      return !isOurs;
    }
    const key = `${message.sender}/${message.id}`;
    const isNews = !this.outbox.echo(message) && !this.#seen.has(key);
    if (isNews) this.log.add(message);
    this.#seen.add(key);
    if (this.#seen.size > seenMax) this.#seen.delete(this.#seen.values().next().value);
    return isNews;
  }

  // joined says in the log what the page knows of what was said while it was away.
  joined({ offset, wasRecovering, isRecovered }) {
    this.isIn = true;
    this.#told.clear();
    this.#missed = null;
    if (isRecovered) {
      this.#missed = { entry: this.log.notice("Reconnected. What you missed follows."), at: offset, newest: undefined, offsets: [] };
    } else if (wasRecovering) {
      this.log.notice("Reconnected. Some of what was said meanwhile is not kept any more; nothing of it is shown here.");
    } else if (this.#wasIn) {
      this.log.notice("Reconnected. This room keeps no messages: what others said meanwhile is not known here.");
    } else {
      this.log.notice(`You are in the room ${this.name}.`);
    }
    this.#wasIn = true;
  }

  // newest says up to which message the page missed some; undefined: the gateway does not tell.
  newest(offset) {
    if (!this.#missed) return;
    if (offset === undefined) this.#missed = null;
    else {
      this.#missed.newest = offset;
      this.#countMissed();
    }
  }

  #countMissed() {
    const { entry, at, newest, offsets } = this.#missed;
    if (newest === undefined || at < newest) return;
    const n = offsets.filter((offset) => offset <= newest).length;
    this.log.amend(entry, n ? `Reconnected. ${plural(n, "message", "messages")} that you missed:` : "Reconnected. You missed nothing.");
    this.#missed = null;
  }

  // lost says once, and for the loss itself always, that the page is not in the room any more, and
  // why.
  lost(why, next) {
    if (this.isIn || !this.#told.has(why)) this.log.notice(`${this.isIn ? "Connection lost" : "No connection"}: ${why}. ${next}`);
    this.#out(why);
  }

  // left says that the room was refused, or taken away.
  left(why) {
    if (this.isIn || !this.#told.has(why)) this.log.notice(`Not in this room: ${why}.`);
    this.#out(why);
  }

  #out(why) {
    this.isIn = false;
    this.#told.add(why);
    this.#missed = null;
    this.outbox.lost();
  }
}
