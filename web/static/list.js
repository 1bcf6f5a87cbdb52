// The newest lines of a room, 10,000 or a few more, of which those near the view are drawn.
//
// Lines stand in stretches of fifty. A stretch far from the view is an empty box, as high as it was
// or as lines were lately; the browser tells when one comes near, and keeps in place what is read
// while boxes above it change.
//
//     ┌─────────┐
//     │         │  empty
//     ├─────────┤
//     │ lines   │  near: at most a screen above the view
//     │ lines   │  in view
//     ├─────────┤
//     │         │  empty, until somebody scrolls here, or follows
//     └─────────┘

import { count } from "./format.js";

const linesMax = 10_000;
const stretchMax = 50;
const atEndWithin = 48; // px; nearer than this the list follows new lines

export class List {
  #scroller;
  #newer;
  #draw;
  #older = document.createElement("p"); // says how many lines are gone
  #stretches = []; // {lines, box, isNear}, oldest first
  #byBox = new WeakMap();
  #changed = new Set(); // stretches to look at in the next frame
  #leaving = []; // elements to remove then, when what comes instead is there
  #size = 0;
  #gone = 0;
  #lineHeight = 60; // px, a guess until some were measured
  #hasNews = false;
  #following = true;
  #frame = 0;
  #watch;

  // draw(line) returns a new element. A line is an object; its node and stretch belong to the list.
  constructor({ scroller, newer, draw }) {
    this.#scroller = scroller;
    this.#newer = newer;
    this.#draw = draw;
    this.#older.className = "notice";
    this.#watch = new IntersectionObserver((seen) => this.#moved(seen), { root: scroller, rootMargin: "100% 0px" });
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    newer.addEventListener("click", () => {
      this.follow();
      scroller.focus({ preventScroll: true });
    });
    // A phone's keyboard makes the list shorter; whoever read the newest line still wants to.
    new ResizeObserver(() => this.#following && this.#toEnd()).observe(scroller);
  }

  // push puts a line at the end; one that is in the list already moves there.
  push(line) {
    this.#remove(line);
    let last = this.#stretches.at(-1);
    if (!last || last.lines.length >= stretchMax) {
      last = { lines: [], box: document.createElement("ol"), isNear: false };
      this.#byBox.set(last.box, last);
      this.#stretches.push(last);
    }
    last.lines.push(line);
    line.stretch = last;
    this.#size++;
    this.#hasNews = true;
    while (this.#size - this.#stretches[0].lines.length >= linesMax) this.#dropOldest();
    this.#change(last);
  }

  // follow goes to the end and stays there.
  follow() {
    this.#following = true;
    for (const stretch of this.#stretches.slice(-2)) this.#change(stretch);
    this.#toEnd();
  }

  #remove(line) {
    if (!line.stretch) return;
    const { lines } = line.stretch;
    lines.splice(lines.indexOf(line), 1);
    this.#size--;
    if (line.node) this.#leaving.push(line.node);
    line.node = undefined;
    if (lines.length === 0) this.#drop(line.stretch);
  }

  #dropOldest() {
    const oldest = this.#stretches[0];
    for (const line of oldest.lines) line.node = line.stretch = undefined; // its message may still be awaited
    this.#size -= oldest.lines.length;
    this.#gone += oldest.lines.length;
    this.#drop(oldest);
  }

  #drop(stretch) {
    this.#stretches.splice(this.#stretches.indexOf(stretch), 1);
    this.#changed.delete(stretch);
    this.#watch.unobserve(stretch.box);
    this.#byBox.delete(stretch.box);
    this.#leaving.push(stretch.box);
  }

  // A hidden tab gets no frames but does get messages.
  #change(stretch) {
    this.#changed.add(stretch);
    this.#frame ||= requestAnimationFrame(() => this.#update());
  }

  #update() {
    this.#frame = 0;
    for (const node of this.#leaving) node.remove();
    this.#leaving = [];
    if (this.#gone > 0) {
      this.#older.textContent = `The newest ${count(this.#size)} lines are kept; ${count(this.#gone)} older ones are gone`;
      if (!this.#older.isConnected) this.#scroller.prepend(this.#older);
    }
    for (const stretch of this.#stretches.filter(({ box }) => !box.isConnected)) {
      this.#scroller.append(stretch.box);
      this.#watch.observe(stretch.box);
    }
    if (this.#following) for (const stretch of this.#stretches.slice(-2)) stretch.isNear = true;
    for (const stretch of this.#changed) this.#fill(stretch);
    this.#changed.clear();
    if (this.#following) this.#toEnd();
    else if (this.#hasNews) this.#newer.hidden = false;
    this.#hasNews = false;
  }

  #moved(seen) {
    for (const { target, isIntersecting, boundingClientRect } of seen) {
      const stretch = this.#byBox.get(target);
      if (!stretch) continue; // dropped meanwhile
      if (stretch.isNear && !isIntersecting) this.#lineHeight = boundingClientRect.height / stretch.lines.length;
      stretch.isNear = isIntersecting;
      this.#fill(stretch, boundingClientRect.height);
    }
    if (this.#following) this.#toEnd();
  }

  // fill draws what a stretch near the view lacks; one that is far becomes a box of the height.
  #fill({ lines, box, isNear }, height = lines.length * this.#lineHeight) {
    box.style.height = isNear ? "" : `${height}px`;
    if (!isNear) {
      for (const line of lines) line.node = undefined;
      box.replaceChildren();
      return;
    }
    for (const line of lines) {
      if (line.node) continue;
      line.node = this.#draw(line);
      box.append(line.node);
    }
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < atEndWithin;
    if (this.#following) this.#newer.hidden = true;
  }

  #toEnd() {
    this.#newer.hidden = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}
