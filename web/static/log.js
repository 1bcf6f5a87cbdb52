// What is said in a room, and what this page has to say about its connection. It keeps up with
// thousands of messages per second: they are entries of a list that draws what is in view.

import { draw, drawNotice, drawStatus } from "./line.js";
import { List } from "./list.js";

const spokenMax = 5; // messages that wait for a screen reader
const besideInvitation = 2; // notices that leave room for the sentence of an empty list

export class Log {
  #list;
  #empty;
  #spoken;
  #onResend;
  #isQuiet = false;
  #notices = 0;

  constructor({ list, newer, empty, spoken, onResend }) {
    this.#list = new List({ scroller: list, newer, draw });
    this.#empty = empty;
    this.#spoken = spoken;
    this.#onResend = onResend;
  }

  // add shows a message that came; own says that this page sent it.
  add({ kind, who, text, sentAt, own }) {
    this.#push({ kind, who, text, sentAt, own, at: new Date() });
    this.#speak(`${who}: ${text}`);
  }

  // addOwn shows a message of this page as not yet delivered, and returns its entry.
  addOwn({ who, text, message, room }) {
    const entry = { kind: "chat", who, text, message, room, own: true, status: "sending", state: "sending", at: new Date() };
    entry.resend = () => this.#onResend(entry);
    this.#push(entry);
    this.#list.follow();
    return entry;
  }

  // notice adds a line about the connection rather than from a person, and returns its entry.
  notice(text) {
    const entry = { kind: "notice", text, at: new Date() };
    this.#list.push(entry);
    this.#notices++;
    if (this.#notices > besideInvitation) this.#empty.hidden = true;
    this.#speak(text);
    return entry;
  }

  // amend says something else in the place of a notice.
  amend(entry, text) {
    entry.text = text;
    drawNotice(entry);
    this.#speak(text);
  }

  // delivered moves the entry to where its echo arrived, which is its place in the room's order,
  // and says how long it took.
  delivered(entry, label) {
    Object.assign(entry, { status: label, state: "delivered", at: new Date() });
    this.#list.push(entry);
  }

  // failed marks the entry and offers to send it again.
  failed(entry) {
    Object.assign(entry, { status: "not delivered", state: "failed" });
    drawStatus(entry);
  }

  // resent puts the entry back to waiting for its echo.
  resent(entry) {
    Object.assign(entry, { status: "sending", state: "sending" });
    drawStatus(entry);
  }

  // quiet stops the screen reader from reading a flood aloud, or a room that is not in view.
  quiet(isQuiet) {
    this.#isQuiet = isQuiet;
  }

  #push(entry) {
    this.#empty.hidden = true;
    this.#list.push(entry);
  }

  // Lines come and go with scrolling, so what is read aloud stands apart from them.
  #speak(text) {
    if (this.#isQuiet) return;
    const line = document.createElement("p");
    line.textContent = text;
    this.#spoken.append(line);
    if (this.#spoken.children.length > spokenMax) this.#spoken.firstChild.remove();
  }
}
