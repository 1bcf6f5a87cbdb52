// The live page: asks for status.json once a second and shows it. It is the only part that knows
// the elements of index.html.

import { bytes, count, plural, rate, span } from "./format.js";
import { History } from "./history.js";
import { plot } from "./plot.js";

const every = 1000; // ms from an answer to the next question
const patience = 8000; // ms for an answer
const steps = ["", "Memory is short: rooms keep less.", "Memory is short: no new rooms.", "Memory is short: no new connections.",
  "Memory is short: the largest rooms drop what clients have yet to get."];

const element = (id) => document.getElementById(id);
const history = new History();

async function poll() {
  if (!document.hidden) await ask();
  setTimeout(poll, every);
}

async function ask() {
  let answer;
  try {
    answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(patience) });
  } catch {
    lost("The gateway does not answer");
    return;
  }
  if (answer.status === 401) {
    location.reload(); // To the login: the session is over.
    return;
  }
  if (!answer.ok) {
    lost(answer.status === 503 ? "The gateway's loops do not answer" : `The gateway answers ${answer.status}`);
    return;
  }
  const status = await answer.json();
  history.add(status);
  show(status);
}

function lost(why) {
  document.body.dataset.state = "lost";
  setText("word", why);
}

function show(status) {
  const { now, totals } = status;
  document.body.dataset.state = status.ready === "ok" ? "ready" : "unready";
  setText("word", status.ready === "ok" ? "Ready" : `Not ready: ${status.ready}`);
  element("logout").hidden = !status.login;
  setText("version", `Sluice ${status.version}`);

  const received = (s) => s.totals.received;
  const delivered = (s) => s.totals.delivered;
  setText("connections", count(now.connections));
  setText("connections-note", `${plural(now.members, "member", "members")} in ${plural(now.rooms, "room", "rooms")}, ` +
    `${rate(history.perSecond((s) => s.totals.handshakes))} handshakes/s`);
  setText("received", rate(history.perSecond(received)));
  setText("received-note", `${bytes(history.perSecond((s) => s.totals.received_bytes))}/s, ${count(totals.received)} in all, ` +
    `${plural(now.held, "sender waits", "senders wait")}`);
  setText("delivered", rate(history.perSecond(delivered)));
  setText("delivered-note", `${bytes(history.perSecond((s) => s.totals.sent_bytes))}/s, ${count(totals.delivered)} of ${count(totals.owed)}, ` +
    `${count(totals.skipped)} skipped, ${count(totals.ended_early)} ended early`);
  setText("blocked", count(now.blocked));
  setText("blocked-note", `${plural(now.slow, "slow one", "slow ones")}, ${count(totals.overrun)} overrun so far`);
  plot(element("connections-plot"), history.values((s) => s.now.connections));
  plot(element("received-plot"), history.rates(received));
  plot(element("delivered-plot"), history.rates(delivered));
  plot(element("blocked-plot"), history.values((s) => s.now.blocked));

  showLoads(status);
  element("cluster").hidden = status.nodes.length === 0;
  table("nodes", status.nodes.map((n, i) => [
    n.name, count(n.connections), count(n.rooms), i === 0 ? "this one" : `${span(n.silent_ms)} ago`, n.address || "–", n.version,
  ]), (i) => status.nodes[i].silent_ms > quiet);
  table("slowest", status.slowest.map((c) => [
    c.room, `${bytes(c.bytes)}, ${plural(c.messages, "message", "messages")}`, `${span(c.took_ms)} ago`, c.address || "–", c.id,
  ]), (i) => status.slowest[i].slow);
  table("rooms", status.rooms.map((r) => [
    r.name, count(r.members) + (r.speakers ? ` + ${count(r.speakers)}` : ""), rate(history.perSecond((s) => inRoom(s, r))), bytes(r.bytes), r.kept ? count(r.kept) : "–",
  ]), (i) => status.rooms[i].full);
  showReasons(status);
  showLog(status.log);
}

// quiet is for how long nothing has to have been heard of a node that is marked, in milliseconds:
// it should every second.
const quiet = 3000;

// inRoom counts a room's messages as they stood in a status; in one that did not list the room, as
// now.
function inRoom(status, room) {
  return status.rooms.find((r) => r.name === room.name)?.messages ?? room.messages;
}

function showLoads({ loops, now }) {
  const loads = loops.map((l, i) => ({
    name: `Loop ${i}`, part: history.perSecond((s) => s.loops[i]?.busy_us) / 1e6, text: plural(l.connections, "source", "sources"),
  }));
  const part = now.memory_limit > 0 ? now.memory / now.memory_limit : 0;
  loads.push({ name: "Room logs", part, text: `${bytes(now.memory)} of ${bytes(now.memory_limit)}` });
  const rows = loads.map(({ name, part, text }) => {
    const percent = Math.min(100, Math.round(100 * part));
    const row = make("li");
    const meter = make("meter");
    meter.max = 100;
    meter.high = 80;
    meter.value = percent;
    meter.setAttribute("aria-label", name);
    row.append(make("span", name), meter, make("span", `${percent} %`, "number"), make("span", text, "note"));
    return row;
  });
  element("loads").replaceChildren(...rows);
  setText("memory-note", steps[now.memory_step] ?? "");
}

function showReasons({ closes, refusals }) {
  const rows = [];
  for (const [kind, all] of [["closes", closes], ["refusals", refusals]]) {
    for (const [reason, n] of Object.entries(all)) {
      if (n > 0) rows.push([reason, kind, n, history.grown((s) => s[kind][reason])]);
    }
  }
  rows.sort((a, b) => b[3] - a[3] || b[2] - a[2]);
  table("reasons", rows.map(([reason, kind, n, lately]) => [
    kind === "closes" ? `closed: ${reason}` : `refused: ${reason}`, count(n), count(lately),
  ]));
}

function showLog(lines) {
  element("log-empty").hidden = lines.length > 0;
  element("log").replaceChildren(...lines.map(({ ago_ms, level, text }) => {
    const line = make("li");
    line.dataset.level = level;
    line.append(make("span", `${span(ago_ms)} ago`, "note"), make("code", text));
    return line;
  }));
}

// table fills the body of a table with rows of texts, of which some are marked.
function table(id, rows, isMarked = () => false) {
  element(`${id}-empty`).hidden = rows.length > 0;
  element(id).hidden = rows.length === 0;
  const heads = [...element(id).tHead.rows[0].cells];
  element(id).tBodies[0].replaceChildren(...rows.map((texts, i) => {
    const row = make("tr");
    row.toggleAttribute("data-marked", isMarked(i));
    row.append(...texts.map((text, j) => {
      const cell = make("td", text, heads[j].className);
      cell.dataset.head = heads[j].textContent; // For narrow screens, where a row is a card.
      return cell;
    }));
    return row;
  }));
}

function make(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// An unchanged text is not set again, so that a quiet page causes no layout and nothing is read
// aloud twice.
function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) ask();
});
poll();
