// What the figures were in the last minute: rates of what only grows, and how much it grew.

const kept = 60_000; // ms

export class History {
  #all = []; // of statuses, the oldest first

  // add takes a status. One of another start of the program begins a new history.
  add(status) {
    const last = this.#all.at(-1);
    if (last && last.at_ms === status.at_ms) return; // The same one, told once more.
    if (last && last.at_ms > status.at_ms) this.#all = [];
    this.#all.push(status);
    while (this.#all.length > 2 && status.at_ms - this.#all[1].at_ms >= kept) this.#all.shift();
  }

  // perSecond is how fast a value grows now: over the newest two or three seconds, so that it does
  // not flicker.
  perSecond(value) {
    const newest = this.#all.at(-1);
    const before = this.#all.findLast((s) => newest.at_ms - s.at_ms >= 2000) ?? this.#all[0];
    return this.#grown(value, before, newest);
  }

  // grown is by how much it grew in the last minute.
  grown(value) {
    return Math.max(0, (value(this.#all.at(-1)) ?? 0) - (value(this.#all[0]) ?? 0));
  }

  // rates are how fast it grew between each two statuses: [seconds ago, a second].
  rates(value) {
    const newest = this.#all.at(-1);
    return this.#all.slice(1).map((s, i) => [(newest.at_ms - s.at_ms) / 1000, this.#grown(value, this.#all[i], s)]);
  }

  // values are what it was: [seconds ago, value].
  values(value) {
    const newest = this.#all.at(-1);
    return this.#all.map((s) => [(newest.at_ms - s.at_ms) / 1000, value(s)]);
  }

  #grown(value, before, after) {
    const ms = after.at_ms - before.at_ms;
    const grown = (value(after) ?? 0) - (value(before) ?? 0);
    return ms > 0 ? (Math.max(0, grown) * 1000) / ms : 0;
  }
}
