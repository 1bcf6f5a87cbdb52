// Latency probes: a small message every couple of seconds whose echo gives the round-trip time.
// Other pages get it too and ignore it.

const fastest = 2_000; // ms between probes
const slowest = 60_000; // ms
const perProbeHeard = 100; // ms; slows everybody so that a room of any size carries about ten probes per second
const silenceMax = 10_000; // ms without any message after a probe: the connection is dead, only nobody has said so

export class Probe {
  #send;
  #onSample;
  #onSilence;
  #waiting = null; // {id, sent}
  #heard = 0; // other pages' probes since our last one
  #lastReceived = 0;
  #timer = 0;
  #seq = 0;

  // send(seq) sends a probe and returns its id, or an empty string when there is no connection.
  constructor({ send, onSample, onSilence }) {
    this.#send = send;
    this.#onSample = onSample;
    this.#onSilence = onSilence;
    document.addEventListener("visibilitychange", () => this.start());
  }

  // start probes now and goes on while the tab is visible; a hidden one has nobody to show the
  // figures to.
  start() {
    this.stop();
    if (!document.hidden) this.#probe();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#waiting = null;
  }

  // received notes that the connection lives.
  received() {
    this.#lastReceived = performance.now();
  }

  // echo takes a probe that came, ours or another page's.
  echo(id) {
    if (id !== this.#waiting?.id) {
      this.#heard++;
      return;
    }
    this.#onSample(performance.now() - this.#waiting.sent);
    this.#waiting = null;
  }

  #probe() {
    const now = performance.now();
    if (this.#waiting && this.#isSilent(now)) {
      this.#onSilence();
      return;
    }
    if (!this.#waiting) {
      const id = this.#send(this.#seq++);
      if (!id) return;
      this.#waiting = { id, sent: now };
    }
    const pause = Math.min(slowest, Math.max(fastest, this.#heard * perProbeHeard));
    this.#heard = 0;
    this.#timer = setTimeout(() => this.#probe(), pause);
  }

  #isSilent(now) {
    return now - this.#waiting.sent > silenceMax && now - this.#lastReceived > silenceMax;
  }
}
