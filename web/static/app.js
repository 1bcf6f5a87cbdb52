// The demo page: joins the parts, and is the only one that knows the elements of index.html.

import { Burst } from "./burst.js";
import { Connection } from "./connection.js";
import { count, millis, plural } from "./format.js";
import { Log } from "./log.js";
import { decode, encode } from "./message.js";
import { Meter } from "./meter.js";
import { Outbox } from "./outbox.js";
import { Plot } from "./plot.js";
import { Probe } from "./probe.js";
import * as settings from "./settings.js";

const element = (id) => document.getElementById(id);
const refreshEvery = 250; // ms between updates of the figures
const floodAbove = 5; // messages per second nobody wants to have read aloud
const seenMax = 1000; // ids of messages shown, so that one sent again is not shown twice

const usualHint = element("hint").textContent;

let room = settings.currentRoom();
let name = settings.currentName();
let state = { name: "connecting", why: "" };
let wasOpen = false; // in this room, since joining it
let received = 0; // not counting probes
let probes = 0;
const seen = new Set();

const meter = new Meter();
const plot = new Plot(element("plot"));
const log = new Log({ list: element("log"), empty: element("empty"), newer: element("newer"), onResend: resend });
const connection = new Connection({ onState: showState, onData: receive });
const outbox = new Outbox({ log, send });
const burst = new Burst({ send, onDone: showBurst });
const probe = new Probe({
  send: (seq) => {
    const id = settings.token();
    return send({ kind: "ping", id, seq, text: "" }) ? id : "";
  },
  onSample: showRoundTrip,
  onSilence: () => connection.drop("nothing was heard for 10 s"),
});

function send(message) {
  return connection.send(encode({ ...message, from: { id: settings.ownId, name }, at: Date.now() }));
}

// ---- what comes in

function receive(data) {
  probe.received();
  const message = decode(data);
  const isOwn = message.from?.id === settings.ownId;
  if (message.kind === "ping") {
    probes++;
    if (isOwn) probe.ownEcho(message.id);
    else probe.othersProbe();
    return;
  }
  received++;
  meter.mark();
  if (message.kind === "chat") {
    receiveChat(message, isOwn);
    return;
  }
  if (message.kind === "burst" && isOwn) burst.echo(message);
  log.add({ ...message, who: message.who ?? message.from.name, own: isOwn });
}

function receiveChat(message, isOwn) {
  const key = `${message.from.id}/${message.id}`;
  const ms = isOwn ? outbox.echo(message.id) : undefined;
  if (ms !== undefined) showRoundTrip(ms);
  if (!isOwn && !seen.has(key)) log.add({ ...message, who: message.from.name, sentAt: sentAt(message) });
  seen.add(key);
  if (seen.size > seenMax) seen.delete(seen.values().next().value);
}

// sentAt is a Date, or nothing if the sender's clock value is none.
function sentAt({ at }) {
  const date = new Date(at);
  return typeof at === "number" && !Number.isNaN(date.getTime()) ? date : undefined;
}

// ---- what the user does

function join(wanted) {
  if (wanted === room && state.name === "open") return;
  outbox.lost();
  burst.lost();
  room = wanted;
  wasOpen = false;
  settings.rememberRoom(room);
  element("room").value = room;
  document.title = `${room} · Sluice`;
  const url = new URL(`ws/${room}`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  element("address").textContent = url.href;
  connection.open(url.href);
}

function checkRoom() {
  const isGood = settings.isRoom(element("room").value);
  element("room").setCustomValidity(isGood ? "" : "Letters, digits and _ . : ~ - only, 1 to 128 of them");
}

function applyName() {
  const wanted = element("name").value.trim();
  if (!wanted) element("name").value = name;
  if (!wanted || wanted === name) return;
  name = wanted;
  settings.rememberName(name);
}

function post() {
  const text = element("text").value;
  if (!text.trim()) return;
  if (!outbox.post(name, text, room)) {
    hint("Not connected. Your text stays here; press Enter again once the connection is back.");
    return;
  }
  element("text").value = "";
  hint("");
}

// A message that failed in another room goes back to the input: the user decides whether it belongs here too.
function resend(entry) {
  if (entry.room !== room) {
    element("text").value = entry.text;
    element("text").focus();
    hint(`That was for the room ${entry.room}. Press Enter to send it here.`);
  } else if (!outbox.again(entry)) {
    hint("Still not connected. Try again once the connection is back.");
  }
}

// hint shows a sentence under the input; an empty one brings back what index.html says there.
function hint(text) {
  element("hint").textContent = text || usualHint;
}

// ---- what is shown

const labels = { connecting: "Connecting", open: "Connected", waiting: "Reconnecting", closed: "Closed" };

function showState(next) {
  state = next;
  document.body.dataset.state = state.name;
  element("why").textContent = sentence(state);
  element("retry").hidden = state.name !== "waiting" && state.name !== "closed";
  element("burst").disabled = state.name !== "open" || burst.running;
  // The count-down is seen but not read aloud every second.
  element("announce").textContent = `${labels[state.name]}. ${sentence(state)}`;
  if (state.name === "open") opened();
  else if (state.name !== "connecting") ended();
  refresh();
}

function sentence({ name: now, why }) {
  if (now === "open" || !why) return `to the room ${room}`;
  return `${why[0].toUpperCase()}${why.slice(1)}.`;
}

function opened() {
  hint("");
  log.notice(wasOpen ? "Reconnected. What others said meanwhile is not shown here." : `You are in the room ${room}.`);
  wasOpen = true;
  probe.start();
}

// ended runs for every failed attempt too, when nothing is left to mark.
function ended() {
  probe.stop();
  outbox.lost();
  burst.lost();
  element("rtt").textContent = "–";
}

function showRoundTrip(ms) {
  element("rtt").textContent = millis(ms);
  element("median").textContent = millis(plot.add(ms));
}

function showBurst({ back, text }) {
  element("burst-result").textContent = text;
  element("burst-result").dataset.back = back;
  element("burst").disabled = state.name !== "open";
}

function refresh() {
  const rate = meter.perSecond();
  log.quiet(rate > floodAbove);
  setText("rate", count(rate));
  setText("total", `${count(received)} in all, besides ${plural(probes, "probe", "probes")}`);
  const left = Math.ceil((state.retryAt - performance.now()) / 1000);
  setText("state", state.name === "waiting" ? `Reconnecting in ${Math.max(0, left)} s` : labels[state.name]);
}

// An unchanged text is not set again, so that a quiet page causes no layout.
function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

// ---- wiring

element("room").addEventListener("input", checkRoom);
element("name").addEventListener("change", applyName);
element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  applyName();
  join(element("room").value);
  element("text").focus();
});
element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  post();
});
element("burst").addEventListener("click", () => {
  element("burst").disabled = true;
  burst.start();
});
element("retry").addEventListener("click", () => connection.retry());
element("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(location.href);
  hint("Link copied. Whoever opens it joins this room.");
});
// The clipboard exists on https and localhost only; elsewhere the address bar has the same link.
element("copy").hidden = !navigator.clipboard;
window.addEventListener("hashchange", () => join(settings.roomInAddress() || room));
// For tests: as if the network had gone.
document.addEventListener("sluice:drop", () => connection.drop("the connection was cut for a test"));

element("name").value = name;
setInterval(refresh, refreshEvery);
join(room);
