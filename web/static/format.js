// Numbers as people read them.

const grouped = new Intl.NumberFormat("en");

export function count(n) {
  return grouped.format(Math.round(n));
}

// Browsers round their clock to 0.1 ms, so more digits would be invented.
export function millis(ms) {
  return ms < 100 ? ms.toFixed(1) : count(ms);
}

export function plural(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
