// Messages per second, over a window that moves in steps.

const step = 250; // ms
const steps = 8; // a window of 2 s: short enough to feel live, long enough not to flicker

export class Meter {
  #counts = new Array(steps).fill(0);
  #at = Math.floor(performance.now() / step);

  mark() {
    this.#advance();
    this.#counts[this.#at % steps]++;
  }

  // perSecond is the mean over the window.
  perSecond() {
    this.#advance();
    return (this.#counts.reduce((sum, n) => sum + n, 0) * 1000) / (steps * step);
  }

  #advance() {
    const at = Math.floor(performance.now() / step);
    // After a pause longer than the window every slot is stale, and each needs emptying only once.
    for (let i = Math.max(this.#at + 1, at - steps + 1); i <= at; i++) this.#counts[i % steps] = 0;
    this.#at = at;
  }
}
