// A small curve of the last minute, from zero up.

const seconds = 60;

// plot draws points of [seconds ago, value].
export function plot(canvas, points) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio); // Which clears it.
  canvas.height = Math.round(height * ratio);
  if (points.length < 2 || width === 0) return;
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const accent = style.getPropertyValue("--accent").trim();
  const top = Math.max(1, ...points.map(([, value]) => value));
  const at = ([ago, value]) => [width - 2 - (ago / seconds) * (width - 2), height - 2 - (value / top) * (height - 4)];
  c.beginPath();
  for (const point of points) c.lineTo(...at(point));
  c.strokeStyle = accent;
  c.lineWidth = 1.5;
  c.lineJoin = "round";
  c.stroke();
  c.lineTo(at(points.at(-1))[0], height);
  c.lineTo(at(points[0])[0], height);
  c.globalAlpha = 0.12;
  c.fillStyle = accent;
  c.fill();
}
