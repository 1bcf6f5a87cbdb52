// The client's part of the Centrifuge protocol (docs/protocol.md), as far as the page needs it: JSON, and many rooms on one
// connection, each with its position, from which it goes on after the connection was lost.
//
// What comes is handled as it comes, by functions and not by promises: what follows an answer in the same message must find it done.

import { Connection } from "./connection.js";

const pingGrace = 10; // s that a ping may be late
const againAfter = 2_000; // ms to another attempt in a room that could not be joined for the moment
const temporary = new Set([100, 111]);

const refusals = {
  101: "the gateway wants a token",
  103: "the gateway does not let this page in",
  109: "the token has expired",
};

export class Protocol {
  #connection;
  #on;
  #token = "";
  #id = 0;
  #asked = new Map(); // id → what takes the answer
  #rooms = new Map(); // name → {epoch, offset}: behind which message the page stands; no epoch: the room keeps none
  #client = ""; // what the gateway calls this page
  #isReady = false;
  #heardAt = 0;
  #watch = 0;

  // All are functions: onState is as of Connection, "open" when every room has answered;
  // onJoined(room, {offset, wasRecovering, isRecovered}); onNewest(room, offset) tells a room that is recovered up to where what was missed goes,
  // or undefined; onLeft(room, {code, reason}): the room was refused or taken away; onMessage(room, {data, tags, offset});
  // onPresence(room, "join" or "leave", info) is of others.
  constructor(on) {
    this.#on = on;
    this.#connection = new Connection({
      onState: (state) => this.#changed(state),
      onOpen: () => this.#opened(),
      onData: (data) => this.#receive(data),
    });
  }

  // open leaves the present connection, if any, and connects anew, with a token if there is one.
  open(url, token = "") {
    this.#token = token;
    this.#connection.open(url);
  }

  retry() {
    this.#connection.retry();
  }

  drop(why) {
    this.#connection.drop(why);
  }

  // join is in a room, over lost connections too, until leave.
  join(room) {
    if (this.#rooms.has(room)) return;
    this.#rooms.set(room, { epoch: "", offset: 0 });
    this.#subscribe(room); // Without a connection this comes to nothing, and is done with the next.
  }

  leave(room) {
    if (this.#rooms.delete(room)) this.#ask({ unsubscribe: { channel: room } });
  }

  // publish returns whether the browser took the message. That it arrived only its echo tells; onError gets {code, message}.
  publish(room, data, onError) {
    return this.#isReady && this.#ask({ publish: { channel: room, data } }, ({ error }) => error && onError(error));
  }

  // countClients asks how many are in a room; onCount gets that, or undefined where it is not told.
  countClients(room, onCount) {
    if (this.#isReady) this.#ask({ presence_stats: { channel: room } }, (reply) => onCount(reply.presence_stats && (reply.presence_stats.num_clients ?? 0)));
  }

  // ask sends a command. onReply is not called any more once the connection is lost.
  #ask(command, onReply = () => {}) {
    const id = ++this.#id;
    this.#asked.set(id, onReply);
    if (this.#connection.send(JSON.stringify({ id, ...command }))) return true;
    this.#asked.delete(id);
    return false;
  }

  #changed(state) {
    this.#isReady = state.name === "open";
    if (!this.#isReady) clearInterval(this.#watch);
    this.#on.onState(state);
  }

  #opened() {
    this.#asked.clear();
    let owed = 1 + this.#rooms.size;
    const answered = () => --owed === 0 && this.#connection.ready();
    this.#ask({ connect: this.#token ? { token: this.#token } : {} }, ({ error, connect }) => {
      if (error) this.#refused(error);
      else {
        this.#client = connect.client;
        this.#expectPings(connect.ping);
        answered();
      }
    });
    for (const room of this.#rooms.keys()) this.#subscribe(room, answered);
  }

  #refused({ code, message }) {
    const why = `${refusals[code] ?? "the gateway refused the connection"} (${code}, “${message}”)`;
    this.#connection.fail({ why, status: code, isFinal: !temporary.has(code) });
  }

  // The gateway pings; where it does not, it is gone, and only nobody has said so.
  #expectPings(seconds) {
    clearInterval(this.#watch);
    if (!seconds) return;
    this.#heardAt = performance.now();
    this.#watch = setInterval(() => {
      const silent = Math.floor((performance.now() - this.#heardAt) / 1000);
      if (silent > seconds + pingGrace) this.drop(`nothing was heard for ${silent} s`);
    }, (pingGrace * 1000) / 2);
  }

  #subscribe(room, answered = () => {}) {
    const at = this.#rooms.get(room);
    const recover = at.epoch ? { recover: true, epoch: at.epoch, offset: at.offset } : {};
    this.#ask({ subscribe: { channel: room, ...recover } }, ({ error, subscribe }) => {
      // Else it was left meanwhile.
      if (this.#rooms.get(room) === at) {
        if (error) this.#notJoined(room, at, error);
        else this.#joined(room, at, subscribe);
      }
      answered();
    });
    // Without a limit: only how far the room is. The answer comes before what was missed.
    if (at.epoch) this.#ask({ history: { channel: room } }, ({ history }) => this.#rooms.get(room) === at && this.#on.onNewest(room, history && (history.offset ?? 0)));
  }

  #joined(room, at, { recoverable, epoch, offset = 0, recovered = false, was_recovering: wasRecovering = false }) {
    at.epoch = recoverable ? epoch : "";
    at.offset = offset;
    this.#on.onJoined(room, { offset, wasRecovering, isRecovered: recovered });
  }

  #notJoined(room, at, { code, message }) {
    this.#on.onLeft(room, { code, reason: message });
    if (temporary.has(code)) setTimeout(() => this.#isReady && this.#rooms.get(room) === at && this.#subscribe(room), againAfter);
  }

  // A message of the gateway has an object on each of its lines.
  #receive(data) {
    this.#heardAt = performance.now();
    let all;
    try {
      all = data.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    } catch {
      this.drop("what answers here does not speak this protocol");
      return;
    }
    for (const one of all) this.#take(one);
  }

  #take({ id, push, ...reply }) {
    if (push) this.#push(push);
    else if (id === undefined) this.#connection.send("{}"); // a ping
    else {
      const onReply = this.#asked.get(id);
      this.#asked.delete(id);
      onReply?.(reply);
    }
  }

  #push({ channel: room, pub, join, leave, unsubscribe }) {
    const at = this.#rooms.get(room);
    if (!at) return; // left meanwhile
    if (pub) {
      if (pub.offset) at.offset = pub.offset;
      this.#on.onMessage(room, pub);
    } else if (join || leave) {
      const { info } = join ?? leave;
      if (info.client !== this.#client) this.#on.onPresence(room, join ? "join" : "leave", info);
    } else if (unsubscribe) {
      if (unsubscribe.code >= 2500) this.#subscribe(room);
      else this.#on.onLeft(room, unsubscribe);
    }
  }
}
