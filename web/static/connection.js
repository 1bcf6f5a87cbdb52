// One WebSocket that comes back: jittered exponential back-off, and every ending explained in
// words.
//
//   connecting ──> open ──> waiting ──> connecting …   the network, the gateway, a slow page: again
//                      └──> closed                      the gateway says that it is no use
//
// It is open when ready says so: what stands above it has to introduce itself first.

const firstDelay = 500; // ms, doubling
const longestDelay = 15_000; // ms
const connectTimeout = 10_000; // ms; a browser alone would wait for minutes
const askTimeout = 3_000; // ms for /livez to say whether anybody is there
const steadyAfter = 5_000; // ms open before the back-off starts anew, else accept-and-kick would loop at full speed

const reasons = {
  1000: "the gateway ended the connection",
  1001: "the gateway is going away",
  1002: "the gateway saw a protocol error",
  1003: "the gateway does not accept this kind of data",
  1006: "the connection broke off",
  1007: "the gateway received text that is not UTF-8",
  1008: "the gateway's policy forbids this connection",
  1009: "a message was too big for the gateway",
  1011: "the gateway had an internal error",
  1012: "the gateway is restarting",
  1013: "the gateway is too busy; try again later",
  3001: "the gateway is going away",
  3004: "the gateway had an internal error",
  3005: "the token has expired",
  3008: "this page read too slowly and fell too far behind",
  3010: "this page read too slowly, and messages were lost to it",
  3011: "the gateway wants this page to connect anew",
  3012: "this page answered no ping",
  3013: "this page sent too much",
  3500: "the gateway does not take this token",
  3501: "the gateway does not understand this page",
  3502: "this page did not introduce itself in time",
  3503: "the gateway's operator ended the connection",
  3508: "the gateway does not do what this page wants",
};

// After these the same page would meet the same refusal, and after the protocol's from 3500 and
// from 4500 on.
const final = new Set([1002, 1003, 1007, 1008, 3005]);
const isFinal = (code) => final.has(code) || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

export class Connection {
  #url = "";
  #socket = null;
  #timer = 0;
  #failures = 0;
  #openedAt = 0;
  #onState;
  #onOpen;
  #onData;

  // onState gets {name, why, status, retryAt}: name is connecting, open, waiting or closed, why is
  // a sentence or empty, status is a close code, the code of an error or what HTTP answered, or 0,
  // and retryAt a performance.now() time when waiting. onOpen is called when something may be sent;
  // onData gets a string.
  constructor({ onState, onOpen, onData }) {
    this.#onState = onState;
    this.#onOpen = onOpen;
    this.#onData = onData;
    window.addEventListener("online", () => this.retry());
    // A gateway on this machine is there all the same: the next attempt finds it.
    window.addEventListener("offline", () => this.drop("this device is offline"));
    // A browser keeps a page that was left for a while, and its socket with it, which then answers
    // nobody.
    window.addEventListener("pagehide", () => this.drop("this page was left"));
  }

  // open leaves the present connection, if any, and connects to url.
  open(url) {
    this.#url = url;
    this.#failures = 0;
    this.#abandon();
    this.#connect();
  }

  // retry connects at once when there is no connection; otherwise it does nothing.
  retry() {
    if (this.#url && !this.#socket) this.#connect();
  }

  // send returns whether the browser took the text. Whether it arrived only its echo tells.
  send(text) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  // ready says that the other side has answered as it should.
  ready() {
    clearTimeout(this.#timer);
    this.#onState({ name: "open", why: "" });
  }

  // fail ends an attempt, {why, status, isFinal}, that the other side has refused.
  fail(end) {
    this.#giveUp(end);
  }

  // drop gives the connection up as lost without waiting for the other side, which may not answer
  // any more.
  drop(why) {
    if (!this.#socket) return;
    this.#giveUp({ why });
  }

  #giveUp({ why, status = 0, isFinal = false }) {
    this.#abandon();
    this.#ended(why, status, isFinal);
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#openedAt = 0;
    this.#onState({ name: "connecting", why: "" });
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#unopened(socket, { why: "did not answer the WebSocket within 10 s" }), connectTimeout);
    socket.onopen = () => {
      this.#openedAt = performance.now();
      this.#onOpen();
    };
    socket.onmessage = (event) => this.#onData(event.data);
    socket.onclose = (event) => {
      if (!this.#openedAt) {
        this.#unopened(socket, { why: "refused the WebSocket", isRefused: true });
        return;
      }
      this.#socket = null;
      this.#ended(explain(event), event.code, isFinal(event.code));
    };
  }

  // unopened ends an attempt that came to nothing. Browsers do not tell a page why; /livez tells
  // whether anybody is there, and the same address, asked for as a file is, whether somebody in
  // between lets the page through.
  async #unopened(socket, met) {
    clearTimeout(this.#timer);
    const denied = met.isRefused && (await askAddress(this.#url));
    const end = denied || { why: await askWhy(met.why) };
    if (socket === this.#socket) this.#giveUp(end); // else somebody gave it up meanwhile
  }

  // abandon silences a socket before closing it: its late events belong to nobody.
  #abandon() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #ended(why, status, isFinal) {
    clearTimeout(this.#timer);
    if (isFinal) {
      this.#onState({ name: "closed", why, status });
      return;
    }
    if (this.#openedAt && performance.now() - this.#openedAt > steadyAfter) this.#failures = 0;
    this.#openedAt = 0;
    // Full jitter: a gateway that restarts with 10,000 pages gets them spread over the whole
    // interval.
    const delay = Math.random() * Math.min(longestDelay, firstDelay * 2 ** this.#failures);
    this.#failures++;
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#onState({ name: "waiting", why, status, retryAt: performance.now() + delay });
  }
}

// askAddress tells why this page may not connect, if somebody says so.
async function askAddress(url) {
  try {
    const answer = await fetch(url.replace(/^ws/, "http"), {
      cache: "no-store",
      signal: AbortSignal.timeout(askTimeout),
    });
    if (answer.status !== 401 && answer.status !== 403) return null;
    const text = (await answer.text()).trim().replace(/[.]$/, "");
    const what = answer.status === 401 ? "the gateway wants a token" : "the gateway does not let this page in";
    return { why: `${what} (${answer.status}${text ? `, “${text.slice(0, 200)}”` : ""})`, status: answer.status, isFinal: answer.status === 401 };
  } catch {
    return null; // askWhy tells more.
  }
}

async function askWhy(met) {
  if (!navigator.onLine) return "this device is offline, or the gateway cannot be reached";
  let answer;
  try {
    answer = await fetch("livez", { cache: "no-store", signal: AbortSignal.timeout(askTimeout) });
  } catch {
    return "the gateway cannot be reached";
  }
  if (answer.status === 503) return "the gateway is full or too busy (503)";
  if (!answer.ok) return `no gateway answers here, but something else with status ${answer.status}`;
  return `the gateway is there, but ${met}: it, or a proxy in between, may be full, ` +
    `or take no page from ${location.origin}`;
}

function explain({ code, reason }) {
  const words = reasons[code] ?? "the connection was closed";
  return `${words} (${code}${reason ? `, “${reason}”` : ""})`;
}
