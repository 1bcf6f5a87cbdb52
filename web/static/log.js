// The message list. It keeps up with thousands of messages per second: the DOM changes once per frame, the list is bounded,
// and what is not drawn is counted on a line of its own.

import { count } from "./format.js";

const entriesMax = 500;
const atBottomWithin = 48; // px; nearer than this the list follows new messages

// A Budget lets through a few messages at once and a few per second. Once empty it stays shut until half full, so that a
// steady flood is drawn as some messages and one "more" line in turn, not as alternating single lines.
class Budget {
  #tokens;
  #shut = false;
  #last = performance.now();

  constructor(capacity, perSecond) {
    this.capacity = capacity;
    this.perSecond = perSecond;
    this.#tokens = capacity;
  }

  take() {
    const now = performance.now();
    this.#tokens = Math.min(this.capacity, this.#tokens + ((now - this.#last) * this.perSecond) / 1000);
    this.#last = now;
    if (this.#shut && this.#tokens < this.capacity / 2) return false;
    this.#shut = this.#tokens < 1;
    if (this.#shut) return false;
    this.#tokens--;
    return true;
  }
}

export class Log {
  #list;
  #empty;
  #newer;
  #budgets = { burst: new Budget(3, 1), other: new Budget(40, 20) };
  #pending = []; // entries for the next frame, at most entriesMax
  #last = null; // newest entry, drawn or not
  #dirty = new Set(); // "more" entries whose number changed
  #frame = 0;
  #following = true;
  #removed = 0;
  #onResend;

  constructor({ list, empty, newer, onResend }) {
    this.#list = list;
    this.#empty = empty;
    this.#newer = newer;
    this.#onResend = onResend;
    list.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    newer.addEventListener("click", () => {
      this.#follow();
      list.focus({ preventScroll: true });
    });
    // A phone's keyboard makes the list shorter; whoever read the newest line still wants to.
    new ResizeObserver(() => this.#following && this.#follow()).observe(list);
  }

  // add shows a message of somebody: {who, text, kind, sentAt}. In a flood it may only be counted.
  add(message) {
    const budget = message.kind === "burst" ? this.#budgets.burst : this.#budgets.other;
    if (budget.take()) {
      this.#push({ ...message, make: messageItem, at: new Date() });
    } else if (this.#last?.skipped) {
      this.#last.skipped++;
      this.#dirty.add(this.#last);
      this.#schedule();
    } else {
      this.#push({ skipped: 1, make: skippedItem });
    }
  }

  // addOwn shows a message of this page, always, as not yet delivered, and returns its entry.
  addOwn(message) {
    const entry = { ...message, own: true, status: "sending", make: messageItem, at: new Date() };
    entry.resend = () => this.#onResend(entry);
    this.#push(entry);
    this.#follow();
    return entry;
  }

  // notice adds a line about the connection rather than from a person.
  notice(text) {
    this.#push({ text, make: noticeItem });
  }

  // delivered moves the entry to where its echo arrived, which is its place in the room's order, and says how long it took.
  delivered(entry, label) {
    entry.status = label;
    entry.state = "delivered";
    entry.at = new Date();
    drawStatus(entry);
    if (entry !== this.#last) this.#push(entry);
  }

  // failed marks the entry and offers to send it again.
  failed(entry) {
    entry.status = "not delivered";
    entry.state = "failed";
    drawStatus(entry);
  }

  // resent puts the entry back to waiting for its echo.
  resent(entry) {
    entry.status = "sending";
    entry.state = "";
    drawStatus(entry);
  }

  // quiet stops the screen reader from reading a flood aloud.
  quiet(isFlood) {
    const live = isFlood ? "off" : "polite";
    if (this.#list.getAttribute("aria-live") !== live) this.#list.setAttribute("aria-live", live);
  }

  #push(entry) {
    const again = this.#pending.indexOf(entry);
    if (again >= 0) this.#pending.splice(again, 1);
    this.#pending.push(entry);
    this.#last = entry;
    if (entry.make !== noticeItem) this.#empty.hidden = true;
    // A hidden tab gets no frames but does get messages.
    if (this.#pending.length > entriesMax) {
      this.#pending.shift();
      this.#removed++;
    }
    this.#schedule();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    const fragment = document.createDocumentFragment();
    for (const entry of this.#pending) {
      entry.node ??= entry.make(entry);
      fragment.append(entry.node);
    }
    const arrived = this.#pending.length > 0;
    this.#pending = [];
    for (const entry of this.#dirty) {
      if (entry.node) entry.node.textContent = skippedText(entry);
    }
    this.#dirty.clear();
    this.#list.append(fragment);
    this.#trim();
    if (this.#following) {
      this.#list.scrollTop = this.#list.scrollHeight;
    } else if (arrived) {
      this.#newer.hidden = false;
    }
  }

  #trim() {
    const oldest = this.#list.querySelector(".removed");
    let excess = this.#list.children.length - (oldest ? 1 : 0) - entriesMax;
    if (excess <= 0) return;
    const line = oldest ?? item("notice removed");
    this.#removed += excess;
    for (; excess > 0; excess--) this.#list.children[oldest ? 1 : 0].remove();
    line.textContent = `The newest ${count(entriesMax)} lines are kept; ${count(this.#removed)} older ones are gone`;
    this.#list.prepend(line);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    this.#following = scrollHeight - scrollTop - clientHeight < atBottomWithin;
    if (this.#following) this.#newer.hidden = true;
  }

  #follow() {
    this.#following = true;
    this.#newer.hidden = true;
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}

// Everything below sets textContent only: what strangers send is text and stays text.

function item(className) {
  const li = document.createElement("li");
  li.className = className;
  return li;
}

function noticeItem({ text }) {
  const li = item("notice");
  li.textContent = text;
  return li;
}

function skippedText({ skipped }) {
  return `… and ${count(skipped)} more, received but not drawn`;
}

function skippedItem(entry) {
  const li = item("notice skipped");
  li.textContent = skippedText(entry);
  return li;
}

function messageItem(entry) {
  const li = item("msg");
  li.dataset.kind = entry.kind;
  if (entry.own) li.dataset.own = "";

  // bdi keeps a right-to-left name from turning the rest of the line around.
  const who = document.createElement("bdi");
  who.className = "who";
  who.textContent = entry.who;
  const time = document.createElement("time");
  time.dateTime = entry.at.toISOString();
  time.textContent = entry.at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (entry.sentAt) time.title = `Sent ${entry.sentAt.toLocaleTimeString()} by the sender's clock`;
  const text = document.createElement("p");
  text.className = "text";
  text.dir = "auto";
  text.textContent = entry.text;

  const head = document.createElement("div");
  head.className = "head";
  head.append(who);
  if (entry.own) {
    const you = document.createElement("span");
    you.className = "you";
    you.textContent = "you";
    head.append(you);
  }
  head.append(time);
  li.append(head, text);
  if (entry.status !== undefined) {
    entry.statusNode = document.createElement("span");
    entry.statusNode.className = "delivery";
    head.append(entry.statusNode);
    entry.node = li;
    drawStatus(entry);
  }
  return li;
}

function drawStatus(entry) {
  if (!entry.node) return;
  entry.node.dataset.delivery = entry.state || "sending";
  entry.statusNode.textContent = entry.status;
  if (entry.state !== "failed") return;
  const again = document.createElement("button");
  again.type = "button";
  again.className = "again";
  again.textContent = "Send again";
  again.addEventListener("click", entry.resend);
  entry.statusNode.append(again);
}
