// The demo page: joins the parts, and is the only one that knows the elements of index.html.

import { Burst } from "./burst.js";
import { Composer } from "./composer.js";
import { checkName, checkRoom, copyLink } from "./fields.js";
import { count, millis, plural } from "./format.js";
import { decode, encode } from "./message.js";
import { Meter } from "./meter.js";
import { Plot } from "./plot.js";
import { Presence } from "./presence.js";
import { Probe } from "./probe.js";
import { Protocol } from "./protocol.js";
import { Room } from "./room.js";
import * as settings from "./settings.js";
import { Tabs } from "./tabs.js";
import { Token } from "./token.js";

const element = (id) => document.getElementById(id);
const refreshEvery = 250; // ms between updates of the figures
const floodAbove = 5; // messages per second nobody wants to have read aloud
const roomsMax = 20; // at a time

const tokenCodes = new Set([401, 101, 109, 3005, 3500]); // after which another token may help
const readOnlyHint = "Not sent: the gateway takes no messages from this page in this room. What others say is shown.";

settings.takeToken();
const rooms = new Map(); // name → Room, each with a tab
let room; // the one in view
let panels = 0; // made so far
let isCrowded = false; // and the log says so
let name = settings.currentName();
let state = { name: "connecting", why: "" };
let received = 0; // in all rooms, not counting probes
let probes = 0;

const composer = new Composer({ form: element("composer"), text: element("text"), hint: element("hint"), onPost: post });
const meter = new Meter();
const plot = new Plot(element("plot"));
const tabs = new Tabs({
  list: element("tabs"),
  onSelect: (wanted) => select(rooms.get(wanted)),
  onClose: close,
  onAlone: () => room.panel.querySelector(".log").focus(),
});
const token = new Token({
  box: element("token-field"),
  input: element("token"),
  onDue: (seconds) => composer.hint(`The token ends in ${plural(seconds, "second", "seconds")}. Enter another one above, and join.`),
  onOther: identify,
});
const protocol = new Protocol({
  onState: showState,
  onJoined: (wanted, how) => joined(rooms.get(wanted), how),
  onNewest: (wanted, offset) => rooms.get(wanted).newest(offset),
  onLeft: (wanted, why) => left(rooms.get(wanted), why),
  onMessage: (wanted, publication) => receive(rooms.get(wanted), publication),
  onPresence: (wanted, what, info) => showPresence(rooms.get(wanted), what, info),
  onGiven: given,
  onExpires: (seconds) => token.lasts(seconds),
});
const presence = new Presence({ ask: (wanted, onCount) => protocol.countClients(wanted, onCount), onCount: showCount });
let bursting; // the room of the burst
const burst = new Burst({ send: (message) => send(bursting, message), onDone: showBurst });
const probe = new Probe({
  send: (seq) => {
    const id = settings.token();
    return send(room, { kind: "ping", id, seq, text: "" }) ? id : "";
  },
  onSample: showRoundTrip,
  onSilence: () => protocol.drop("nothing was heard for 10 s"),
});

function send(where, message) {
  if (!where.isIn || where.isReadOnly) return false;
  const data = encode({ ...message, from: { id: settings.ownId, name }, at: Date.now() });
  return protocol.publish(where.name, data, (error) => refused(where, message.id, error));
}

// ---- what comes in

// What is ours is told by its id, which only we know until it is in the room; never by what a
// message says of itself.
function receive(where, { data, tags, offset }) {
  probe.received();
  const message = decode(data, tags);
  if (message.kind === "ping") {
    probes++;
    if (where === room) probe.echo(message.id);
  } else {
    received++;
    meter.mark();
  }
  const isNews = where.receive(message, offset, message.kind === "burst" && burst.echo(message));
  if (!isNews || where === room) return;
  where.unread++;
  tabs.unread(where.name, where.unread);
}

// refused marks a message that the gateway did not take.
function refused(where, id, { code, message }) {
  const wasAwaited = where.outbox.fail(id);
  if (code === 103) {
    if (!where.isReadOnly) where.log.notice("This room is only to be read here.");
    where.isReadOnly = true;
    if (where === bursting) burst.lost();
    if (where === room) probe.stop();
    showButtons();
  } else if (wasAwaited && where === room) {
    composer.hint(`The gateway did not take it: ${message} (${code}).`);
  }
}

// ---- what the user does

// join opens a tab for a room, or the one there is.
function join(wanted) {
  const present = rooms.get(wanted);
  if (!present && rooms.size === roomsMax) {
    composer.hint(`At most ${roomsMax} rooms at a time: leave one first.`);
    return;
  }
  const isNew = token.isOther() || !room;
  const next = present ?? open(wanted);
  select(next);
  if (isNew) identify();
}

// given opens a tab for a room that the token brings along, if there may be one more.
function given(wanted) {
  if (rooms.has(wanted)) return true;
  if (rooms.size === roomsMax) {
    if (!isCrowded) room.log.notice(`The token brings more rooms along than the ${roomsMax} that this page has tabs for: the others are left.`);
    isCrowded = true;
    return false;
  }
  open(wanted).panel.hidden = true;
  return true;
}

function open(wanted) {
  const panel = element("panel").content.cloneNode(true).firstElementChild;
  panel.id = `panel-${++panels}`;
  panel.setAttribute("aria-labelledby", `${panel.id}-tab`);
  element("panels").append(panel);
  const made = new Room({ name: wanted, panel, send: (message) => send(made, message), onResend: resend, onSample: showRoundTrip });
  rooms.set(wanted, made);
  tabs.add(wanted, panel.id);
  protocol.join(wanted);
  return made;
}

function select(wanted) {
  room = wanted;
  room.unread = 0;
  for (const other of rooms.values()) other.panel.hidden = other !== room;
  tabs.unread(room.name, 0);
  tabs.select(room.name);
  settings.rememberRoom(room.name);
  element("room").value = room.name;
  element("address").textContent = socketAddress(`ws/${room.name}`);
  document.title = `${room.name} · Sluice`;
  composer.hint("");
  showState(state);
  if (room.isIn) attend();
  else ignore();
}

function close(wanted) {
  const gone = rooms.get(wanted);
  const next = tabs.remove(wanted);
  if (gone === bursting) burst.lost();
  protocol.leave(wanted);
  rooms.delete(wanted);
  gone.outbox.lost();
  gone.panel.remove();
  if (gone === room) select(rooms.get(next));
}

function socketAddress(path) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}

// identify says anew who this page is, in all of its rooms: in passing where its token is about to
// end, and else by a connection that is another one's.
function identify() {
  const isInPassing = token.isDue && state.name === "open";
  token.take();
  isCrowded = false;
  for (const each of rooms.values()) each.isReadOnly = false;
  if (isInPassing) {
    composer.hint("");
    showButtons();
    protocol.refresh(token.inUse);
    return;
  }
  for (const each of rooms.values()) {
    each.isIn = false;
    each.outbox.lost();
  }
  burst.lost();
  protocol.open(socketAddress("connection/websocket"), token.inUse);
}

function applyName() {
  const wanted = element("name").value.trim();
  if (!wanted) element("name").value = name;
  if (!wanted || wanted === name || !element("name").reportValidity()) return;
  name = wanted;
  settings.rememberName(name);
}

// post returns why a text was not sent, or an empty string.
function post(text) {
  if (room.isReadOnly) return readOnlyHint;
  if (room.outbox.post(name, text, room.name)) return "";
  if (state.name === "open") return "Not sent: this page is not in the room.";
  return "Not connected. Your text stays here; press Enter again once the connection is back.";
}

function resend(entry) {
  if (room.isReadOnly) composer.hint(readOnlyHint);
  else if (!room.outbox.again(entry)) composer.hint("Still not connected. Try again once the connection is back.");
}

// ---- what is shown

const labels = { connecting: "Connecting", open: "Connected", waiting: "Reconnecting", closed: "Closed" };

function showState(next) {
  const isChange = state !== next;
  state = next;
  document.body.dataset.state = state.name;
  setText("why", sentence(state));
  element("retry").hidden = state.name !== "waiting" && state.name !== "closed";
  showButtons();
  // The count-down is seen but not read aloud every second.
  setText("announce", `${labels[state.name]}. ${sentence(state)}`);
  if (isChange && state.name === "open") opened();
  else if (isChange && state.name !== "connecting") ended();
  refresh();
}

function sentence({ name: now, why }) {
  if (now === "open" || !why) return `to the room ${room.name}`;
  return `${why[0].toUpperCase()}${why.slice(1)}.`;
}

function showButtons() {
  element("burst").disabled = state.name !== "open" || !room.isIn || room.isReadOnly || burst.running;
}

function opened() {
  composer.hint("");
  delete document.body.dataset.lost;
  if (room.isIn) attend();
}

// attend shows who is in the room in view and how long messages take there.
function attend() {
  probe.start();
  presence.watch(room.name);
}

function ignore() {
  probe.stop();
  presence.stop();
  element("rtt").textContent = "–";
}

function joined(where, how) {
  where.joined(how);
  showButtons();
  if (where === room && state.name === "open") attend();
}

// left is told by the gateway of one room; the others go on.
function left(where, { code, reason }) {
  where.left(`${code === 103 ? "this page may not be in it" : "the gateway says"} (${code}, “${reason}”)`);
  if (where === bursting) burst.lost();
  if (where !== room) return;
  if (code === 103) askForToken("Enter a token above, and join.");
  ignore();
  showButtons();
}

// ended runs for every failed attempt too, when nothing is left to mark. The log says each reason
// once.
function ended() {
  if (tokenCodes.has(state.status)) askForToken(`${state.status === 109 || state.status === 3005 ? "The token has expired. Enter another one" : "Enter a token"} above, and join.`);
  document.body.dataset.lost = "";
  for (const each of rooms.values()) each.lost(state.why, state.name === "closed" ? "Not trying again." : "Trying again.");
  burst.lost();
  ignore();
}

function askForToken(sentence) {
  token.show();
  composer.hint(sentence);
}

function showRoundTrip(ms) {
  element("rtt").textContent = millis(ms);
  element("median").textContent = millis(plot.add(ms));
}

function showBurst({ back, text }) {
  element("burst-result").textContent = text;
  element("burst-result").dataset.back = back;
  showButtons();
}

function showCount(n) {
  setText("present", n === undefined ? "" : `${count(n)} here`);
}

function showPresence(where, what, { user }) {
  where.log.notice(`${user || "Somebody"} ${what === "join" ? "came" : "left"}.`);
  presence.changed(where.name);
}

function refresh() {
  const rate = meter.perSecond();
  for (const each of rooms.values()) each.log.quiet(rate > floodAbove || each !== room);
  setText("rate", count(rate));
  setText("total", `${count(received)} in all, besides ${plural(probes, "probe", "probes")}`);
  const left = Math.ceil((state.retryAt - performance.now()) / 1000);
  setText("brief", labels[state.name]);
  setText("state", state.name === "waiting" ? `Reconnecting in ${Math.max(0, left)} s` : labels[state.name]);
}

// An unchanged text is not set again, so that a quiet page causes no layout.
function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

// ---- wiring

element("room").addEventListener("input", () => checkRoom(element("room")));
element("name").addEventListener("input", () => checkName(element("name")));
element("name").addEventListener("change", applyName);
element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  applyName();
  token.remember();
  join(element("room").value);
  composer.focus();
});
element("burst").addEventListener("click", () => {
  element("burst").disabled = true;
  bursting = room;
  burst.start();
});
element("retry").addEventListener("click", () => protocol.retry());
element("copy").addEventListener("click", async () => composer.hint(await copyLink(element("link"))));
element("figures").addEventListener("click", () => {
  const isShown = document.body.toggleAttribute("data-figures");
  element("figures").setAttribute("aria-expanded", isShown);
});
window.addEventListener("hashchange", () => {
  settings.takeToken();
  join(settings.roomInAddress() || room.name);
});
// For tests: as if the network had gone.
document.addEventListener("sluice:drop", () => protocol.drop("the connection was cut for a test"));

element("name").value = name;
join(settings.currentRoom());
setInterval(refresh, refreshEvery);
