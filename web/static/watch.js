// Notices that the other side has fallen silent: the gateway pings; where it does not, it is gone,
// and only nobody has said so.

const grace = 10; // s that a ping may be late

export class Watch {
  #heardAt = 0;
  #timer = 0;
  #onSilence;

  // onSilence gets for how many seconds nothing was heard.
  constructor(onSilence) {
    this.#onSilence = onSilence;
  }

  heard() {
    this.#heardAt = performance.now();
  }

  // start expects something every so many seconds; of 0 nothing is expected.
  start(seconds) {
    this.stop();
    if (!seconds) return;
    this.heard();
    this.#timer = setInterval(() => {
      const silent = Math.floor((performance.now() - this.#heardAt) / 1000);
      if (silent > seconds + grace) this.#onSilence(silent);
    }, (grace * 1000) / 2);
  }

  stop() {
    clearInterval(this.#timer);
  }
}
