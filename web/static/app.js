// The demo page: joins the parts, and is the only one that knows the elements of index.html.

import { Burst } from "./burst.js";
import { Connection } from "./connection.js";
import { count, millis, plural } from "./format.js";
import { Log } from "./log.js";
import { decode, encode, nameMax, textMax } from "./message.js";
import { Meter } from "./meter.js";
import { Outbox } from "./outbox.js";
import { Plot } from "./plot.js";
import { Probe } from "./probe.js";
import * as settings from "./settings.js";

const element = (id) => document.getElementById(id);
const refreshEvery = 250; // ms between updates of the figures
const floodAbove = 5; // messages per second nobody wants to have read aloud
const seenMax = 1000; // ids of messages shown, so that one sent again is not shown twice

const readOnlyHint = "Not sent: the gateway takes no messages from this page in this room. What others say is shown.";
const usualHint = element("hint").textContent;

settings.takeToken();
let room = settings.currentRoom();
let token = settings.currentToken();
let isReadOnly = false; // this room, for us
let name = settings.currentName();
let state = { name: "connecting", why: "" };
let wasOpen = false; // in this room, since joining it
let received = 0; // not counting probes
let probes = 0;
const seen = new Set();
const told = new Set(); // why there is no connection, as far as the log says it already

const meter = new Meter();
const plot = new Plot(element("plot"));
const log = new Log({
  list: element("log"),
  newer: element("newer"),
  empty: element("empty"),
  spoken: element("spoken"),
  onResend: resend,
});
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
  return !isReadOnly && connection.send(encode({ ...message, from: { id: settings.ownId, name }, at: Date.now() }));
}

// ---- what comes in

// What is ours is told by its id, which only we know until it is in the room; never by what a message
// says of itself.
function receive(data) {
  probe.received();
  const message = decode(data);
  if (message.kind === "ping") {
    probes++;
    probe.echo(message.id);
    return;
  }
  received++;
  meter.mark();
  if (message.kind === "chat") receiveChat(message);
  else log.add({ ...message, own: message.kind === "burst" && burst.echo(message) });
}

function receiveChat(message) {
  const ms = outbox.echo(message);
  if (ms !== undefined) showRoundTrip(ms);
  const key = `${message.sender}/${message.id}`;
  if (ms === undefined && !seen.has(key)) log.add(message);
  seen.add(key);
  if (seen.size > seenMax) seen.delete(seen.values().next().value);
}

// ---- what the user does

function join(wanted) {
  if (wanted === room && token === settings.currentToken() && state.name === "open") return;
  outbox.lost();
  burst.lost();
  room = wanted;
  token = settings.currentToken();
  isReadOnly = false;
  wasOpen = false;
  told.clear();
  settings.rememberRoom(room);
  element("room").value = room;
  document.title = `${room} · Sluice`;
  const url = new URL(`ws/${room}`, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  element("address").textContent = url.href;
  if (token) element("token-field").hidden = false; // So that it can be seen that there is one, and taken away.
  element("token").value = token;
  connection.open(url.href, token);
}

function checkToken() {
  const isGood = settings.isToken(element("token").value.trim());
  element("token").setCustomValidity(isGood ? "" : "Letters, digits and - . _ ~ + only, as in a JWT");
}

function checkRoom() {
  const isGood = settings.isRoom(element("room").value);
  element("room").setCustomValidity(isGood ? "" : "Letters, digits and _ . : ~ - only, 1 to 128 of them");
}

function checkName() {
  const excess = element("name").value.trim().length - nameMax;
  element("name").setCustomValidity(excess > 0 ? `${plural(excess, "character", "characters")} too many: a name has at most ${nameMax}` : "");
}

function applyName() {
  const wanted = element("name").value.trim();
  if (!wanted) element("name").value = name;
  if (!wanted || wanted === name || !element("name").reportValidity()) return;
  name = wanted;
  settings.rememberName(name);
}

// excess says what is wrong with the length of a text, if anything is.
function excess(text) {
  const n = text.length - textMax;
  return n > 0 ? `${plural(n, "character", "characters")} too many: a message has at most ${count(textMax)}.` : "";
}

function post() {
  const text = element("text").value;
  if (!text.trim()) return;
  if (excess(text)) {
    hint(`Not sent, ${excess(text)}`);
    return;
  }
  if (isReadOnly) {
    hint(readOnlyHint);
    return;
  }
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
  } else if (isReadOnly) {
    hint(readOnlyHint);
  } else if (!outbox.again(entry)) {
    hint("Still not connected. Try again once the connection is back.");
  }
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href); // on https and localhost only, and if it is allowed
  } catch {
    element("link").hidden = false;
    element("link").value = location.href;
    element("link").select();
    const isCopied = document.execCommand("copy");
    element("link").hidden = isCopied;
    if (!isCopied) {
      hint("This browser lets no page copy. The link stands above.");
      return;
    }
  }
  hint("Link copied. Whoever opens it joins this room.");
}

// hint shows a sentence under the input; an empty one brings back what index.html says there.
function hint(text) {
  setText("hint", text || usualHint);
}

// ---- what is shown

const labels = { connecting: "Connecting", open: "Connected", waiting: "Reconnecting", closed: "Closed" };

function showState(next) {
  const wasConnected = state.name === "open";
  state = next;
  document.body.dataset.state = state.name;
  element("why").textContent = sentence(state);
  element("retry").hidden = state.name !== "waiting" && state.name !== "closed";
  element("burst").disabled = state.name !== "open" || isReadOnly || burst.running;
  // The count-down is seen but not read aloud every second.
  element("announce").textContent = `${labels[state.name]}. ${sentence(state)}`;
  if (state.name === "open") opened();
  else if (state.name !== "connecting") ended(wasConnected);
  refresh();
}

function sentence({ name: now, why }) {
  if (now === "open" || !why) return `to the room ${room}`;
  return `${why[0].toUpperCase()}${why.slice(1)}.`;
}

function opened() {
  hint("");
  told.clear();
  delete document.body.dataset.lost;
  log.notice(wasOpen ? "Reconnected. What others said meanwhile is not shown here." : `You are in the room ${room}.`);
  wasOpen = true;
  probe.start();
}

// ended runs for every failed attempt too, when nothing is left to mark. The log says each reason once.
function ended(wasConnected) {
  if (state.status === 4003) isReadOnly = true; // For a probe: nothing is sent here any more.
  if (state.status === 401 || state.status === 4001) askForToken();
  document.body.dataset.lost = "";
  if (wasConnected || !told.has(state.why)) {
    const next = state.name === "closed" ? "Not trying again." : "Trying again.";
    log.notice(`${wasConnected ? "Connection lost" : "No connection"}: ${state.why}. ${next}`);
  }
  told.add(state.why);
  probe.stop();
  outbox.lost();
  burst.lost();
  element("rtt").textContent = "–";
}

function askForToken() {
  element("token-field").hidden = false;
  hint("Enter a token above, and join.");
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
  setText("brief", labels[state.name]);
  setText("state", state.name === "waiting" ? `Reconnecting in ${Math.max(0, left)} s` : labels[state.name]);
}

// An unchanged text is not set again, so that a quiet page causes no layout.
function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

// ---- wiring

element("room").addEventListener("input", checkRoom);
element("name").addEventListener("input", checkName);
element("name").addEventListener("change", applyName);
element("token").addEventListener("input", checkToken);
element("join").addEventListener("submit", (event) => {
  event.preventDefault();
  applyName();
  settings.rememberToken(element("token").value.trim());
  join(element("room").value);
  element("text").focus();
});
element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  post();
});
element("text").addEventListener("input", () => hint(excess(element("text").value)));
// Enter sends, Shift+Enter is a new line. The Enter that ends a word of an input method breaks no line.
let isShifted = false;
element("text").addEventListener("keydown", (event) => {
  isShifted = event.shiftKey;
});
element("text").addEventListener("beforeinput", (event) => {
  if (event.inputType !== "insertLineBreak" || isShifted) return;
  event.preventDefault();
  post();
});
element("burst").addEventListener("click", () => {
  element("burst").disabled = true;
  burst.start();
});
element("retry").addEventListener("click", () => connection.retry());
element("copy").addEventListener("click", copyLink);
element("figures").addEventListener("click", () => {
  const isShown = document.body.toggleAttribute("data-figures");
  element("figures").setAttribute("aria-expanded", isShown);
});
window.addEventListener("hashchange", () => {
  settings.takeToken();
  join(settings.roomInAddress() || room);
});
// For tests: as if the network had gone.
document.addEventListener("sluice:drop", () => connection.drop("the connection was cut for a test"));

element("name").value = name;
setInterval(refresh, refreshEvery);
join(room);
