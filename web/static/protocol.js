// The client's part of the Centrifuge protocol (docs/protocol.md), as far as the page needs it:
// JSON, and many rooms on one connection, each with its position, from which it goes on after the
// connection was lost.

import { Commands } from "./commands.js";
import { Connection } from "./connection.js";
import { Watch } from "./watch.js";

const againAfter = 2_000; // ms to another attempt in a room that could not be joined for the moment
const temporary = new Set([100, 111]);
const alreadyIn = 105; // by the token

const refusals = {
  101: "the gateway wants a token",
  103: "the gateway does not let this page in",
  109: "the token has expired",
};

export class Protocol {
  #connection;
  #commands;
  #watch;
  #on;
  #url = "";
  #token = "";
  // name → {epoch, offset, isGiven}: behind which message the page stands, without an epoch in a
  // room that keeps none; and whether the token brings it along.
  #rooms = new Map();
  #unwanted = new Set(); // rooms that were left, though the token brings them along
  #client = ""; // what the gateway calls this page
  #isReady = false;
  #isRefreshing = false;

  // All are functions: onState is as of Connection, "open" when every room has answered;
  // onJoined(room, {offset, wasRecovering, isRecovered}); onNewest(room, offset) tells a room that
  // is recovered up to where what was missed goes, or undefined; onLeft(room, {code, reason}): the
  // room was refused or taken away; onMessage(room, {data, tags, offset}); onPresence(room, "join"
  // or "leave", info) is of others; onGiven(room) returns whether the page has a place for a room
  // that its token brings along; onExpires(seconds): for so long the token is good.
  constructor(on) {
    this.#on = on;
    this.#watch = new Watch((seconds) => this.drop(`nothing was heard for ${seconds} s`));
    this.#connection = new Connection({
      onState: (state) => this.#changed(state),
      onOpen: () => this.#opened(),
      onData: (data) => this.#receive(data),
    });
    this.#commands = new Commands({ send: (text) => this.#connection.send(text), onPush: (push) => this.#push(push) });
  }

  // open leaves the present connection, if any, and connects anew, with a token if there is one.
  open(url, token = "") {
    this.#url = url;
    this.#token = token;
    this.#unwanted.clear();
    this.#connection.open(url);
  }

  // refresh goes on by another token, on the same connection if it is of the same user.
  refresh(token) {
    this.#token = token;
    this.#isRefreshing = this.#commands.ask({ refresh: { token } }, ({ error, refresh }) => {
      this.#isRefreshing = false;
      if (error) this.open(this.#url, token);
      else if (refresh.expires) this.#on.onExpires(refresh.ttl);
    });
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
    this.#unwanted.delete(room);
    this.#rooms.set(room, { epoch: "", offset: 0 });
    this.#subscribe(room); // Without a connection this comes to nothing, and is done with the next.
  }

  leave(room) {
    if (this.#rooms.get(room)?.isGiven) this.#unwanted.add(room);
    if (this.#rooms.delete(room)) this.#commands.ask({ unsubscribe: { channel: room } });
  }

  // publish returns whether the browser took the message. That it arrived only its echo tells;
  // onError gets {code, message}.
  publish(room, data, onError) {
    return this.#isReady && this.#commands.ask({ publish: { channel: room, data } }, ({ error }) => error && onError(error));
  }

  // countClients asks how many are in a room; onCount gets that, or undefined where it is not told.
  countClients(room, onCount) {
    if (this.#isReady) this.#commands.ask({ presence_stats: { channel: room } }, (reply) => onCount(reply.presence_stats && (reply.presence_stats.num_clients ?? 0)));
  }

  #changed(state) {
    this.#isReady = state.name === "open";
    if (!this.#isReady) this.#watch.stop();
    const isRefused = this.#isRefreshing && state.name === "closed"; // The token to go on by is another user's, perhaps.
    if (!this.#isReady) this.#isRefreshing = false;
    if (isRefused) this.open(this.#url, this.#token);
    else this.#on.onState(state);
  }

  #opened() {
    this.#commands.forget();
    const given = [...this.#rooms].filter(([, at]) => at.isGiven);
    let owed = 1 + this.#rooms.size - given.length;
    const answered = () => --owed === 0 && this.#connection.ready();
    const command = { subs: Object.fromEntries(given.map(([room, at]) => [room, recovery(at)])) };
    if (this.#token) command.token = this.#token;
    this.#commands.ask({ connect: command }, ({ error, connect }) => {
      if (error) {
        this.#refused(error);
        return;
      }
      this.#client = connect.client;
      this.#watch.start(connect.ping);
      if (connect.expires) this.#on.onExpires(connect.ttl);
      const subs = new Map(Object.entries(connect.subs ?? {}).sort()); // They come in any order.
      for (const [room, subscribed] of subs) this.#given(room, subscribed);
      for (const [room, at] of given) if (!subs.has(room) && this.#rooms.get(room) === at) this.#subscribe(room);
      answered();
    });
    for (const [room, at] of this.#rooms) if (!at.isGiven) this.#subscribe(room, answered);
    for (const [room, at] of given) this.#askNewest(room, at);
  }

  // given takes a room that the gateway has brought the page into.
  #given(room, subscribed) {
    if (!this.#rooms.has(room)) this.#rooms.set(room, { epoch: "", offset: 0 });
    const at = this.#rooms.get(room);
    at.isGiven = true;
    if (this.#unwanted.has(room) || !this.#on.onGiven(room)) this.leave(room);
    else this.#joined(room, at, subscribed);
  }

  #refused({ code, message }) {
    const why = `${refusals[code] ?? "the gateway refused the connection"} (${code}, “${message}”)`;
    this.#connection.fail({ why, status: code, isFinal: !temporary.has(code) });
  }

  #subscribe(room, answered = () => {}) {
    const at = this.#rooms.get(room);
    this.#commands.ask({ subscribe: { channel: room, ...recovery(at) } }, ({ error, subscribe }) => {
      // Else it was left meanwhile.
      if (this.#rooms.get(room) === at) {
        if (error && error.code !== alreadyIn) this.#notJoined(room, at, error);
        if (!error) this.#joined(room, at, subscribe);
      }
      answered();
    });
    this.#askNewest(room, at);
  }

  // askNewest asks how far a room is that the page comes back to. The answer comes before what was
  // missed.
  #askNewest(room, at) {
    if (at.epoch) this.#commands.ask({ history: { channel: room } }, ({ history }) => this.#rooms.get(room) === at && this.#on.onNewest(room, history && (history.offset ?? 0)));
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

  #receive(data) {
    this.#watch.heard();
    if (!this.#commands.take(data)) this.drop("what answers here does not speak this protocol");
  }

  #push({ channel: room, pub, join, leave, subscribe, unsubscribe }) {
    if (subscribe) this.#given(room, subscribe);
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

// recovery is what a command says of where the page goes on in a room.
function recovery({ epoch, offset }) {
  return epoch ? { recover: true, epoch, offset } : {};
}
