// Numbers as people read them.

const grouped = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function count(n) {
  return grouped.format(Math.round(n));
}

// rate shows tenths where whole numbers would hide that there is anything.
export function rate(n) {
  return n < 10 ? short.format(n) : count(n);
}

export function plural(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1024;
  return `${short.format(n)} ${units[i]}`;
}

export function span(ms) {
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? short.format(s) : count(s)} s`;
  if (s < 3600) return `${count(s / 60)} min`;
  return `${short.format(s / 3600)} h`;
}
