// The latency plot: the newest round trips from left to right, on a canvas.

import { millis } from "./format.js";

const samplesMax = 60;
const slide = 350; // ms for the line to move one place
const left = 52; // px for the numbers of the axis
const bottom = 16;
const top = 8;

export class Plot {
  #canvas;
  #samples = [];
  #added = -Infinity; // when the newest sample came
  #frame = 0;
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#schedule()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#schedule());
  }

  // add appends a round-trip time in ms and returns the median of those on display.
  add(ms) {
    this.#samples.push(ms);
    // One more than is shown, for the end that slides out.
    if (this.#samples.length > samplesMax + 1) this.#samples.shift();
    this.#added = performance.now();
    const shown = this.#samples.slice(-samplesMax);
    const median = middle(shown);
    this.#canvas.setAttribute("aria-label",
      `Round-trip times, newest ${shown.length}: median ${millis(median)} ms, longest ${millis(Math.max(...shown))} ms`);
    this.#schedule();
    return median;
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    // Setting the size clears the canvas, and costs a new bitmap only when it differs.
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    const c = this.#canvas.getContext("2d");
    c.scale(ratio, ratio);
    const style = getComputedStyle(this.#canvas);
    const colour = (name) => style.getPropertyValue(name).trim();

    const max = ceiling(Math.max(1, ...this.#samples));
    const y = (ms) => height - bottom - (ms / max) * (height - bottom - top);
    axis(c, { width, height, max, y, line: colour("--line"), text: colour("--muted"), font: style.fontFamily });

    const progress = this.#still.matches ? 1 : Math.min(1, (performance.now() - this.#added) / slide);
    const pitch = (width - left - 6) / (samplesMax - 1);
    const newest = width - 6 + (1 - progress) * pitch;
    const points = this.#samples.map((ms, i) => [newest - (this.#samples.length - 1 - i) * pitch, y(ms)]);
    curve(c, points, { from: left, to: width, accent: colour("--accent") });
    if (progress < 1) this.#schedule();
  }
}

function axis(c, { width, height, max, y, line, text, font }) {
  c.font = `11px ${font}`;
  c.fillStyle = text;
  c.strokeStyle = line;
  c.lineWidth = 1;
  c.textAlign = "right";
  c.textBaseline = "middle";
  for (const ms of [0, max / 2, max]) {
    const at = Math.round(y(ms)) + 0.5; // on a pixel, so that the line is one pixel thick
    c.beginPath();
    c.moveTo(left, at);
    c.lineTo(width, at);
    c.stroke();
    c.fillText(max < 1000 ? `${ms} ms` : `${ms / 1000} s`, left - 6, at);
  }
  c.textBaseline = "alphabetic";
  c.fillText(`newest ${samplesMax} round trips`, width, height - 2);
}

function curve(c, points, { from, to, accent }) {
  if (points.length === 0) return;
  c.save();
  c.beginPath();
  c.rect(from, 0, to - from, c.canvas.height);
  c.clip();
  c.strokeStyle = c.fillStyle = accent;
  c.lineWidth = 1.75;
  c.lineJoin = "round";
  c.beginPath();
  for (const [px, py] of points) c.lineTo(px, py);
  c.stroke();
  c.beginPath();
  c.arc(...points.at(-1), 3, 0, 2 * Math.PI);
  c.fill();
  c.restore();
}

// ceiling rounds up to 1, 2 or 5 times a power of ten, so that the axis seldom changes and its
// labels are short.
function ceiling(ms) {
  const power = 10 ** Math.floor(Math.log10(ms));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= ms);
}

function middle(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
