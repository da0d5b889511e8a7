// The lines that differ between two texts, by the method of Myers (1986).

/** Beyond so many differing lines the texts are shown as wholly different. */
const DIFFERENT_MAX = 2000;

/** textDiff returns [[kind, line]] with the kinds " ", "-" and "+". */
export function textDiff(from, to) {
  const a = from.split("\n");
  const b = to.split("\n");
  const trace = shortest(a, b);
  if (!trace) return [...a.map((l) => ["-", l]), ...b.map((l) => ["+", l])];
  const out = [];
  let [x, y] = [a.length, b.length];
  for (let d = trace.length - 1; d >= 0; d--) {
    const v = trace[d];
    const k = x - y;
    const down = k === -d || (k !== d && (v.get(k - 1) ?? -1) < (v.get(k + 1) ?? -1));
    const before = down ? k + 1 : k - 1;
    const px = d === 0 ? 0 : v.get(before) ?? 0;
    const py = px - before;
    while (x > Math.max(px, 0) && y > Math.max(d === 0 ? 0 : py, 0) && a[x - 1] === b[y - 1]) {
      out.push([" ", a[--x]]);
      y--;
    }
    if (d === 0) break;
    if (down) out.push(["+", b[--y]]);
    else out.push(["-", a[--x]]);
  }
  return out.reverse();
}

/** shortest walks until both texts are at their end; it returns where each step had come to. */
function shortest(a, b) {
  const v = new Map([[1, 0]]);
  const trace = [];
  for (let d = 0; d <= Math.min(a.length + b.length, DIFFERENT_MAX); d++) {
    trace.push(new Map(v));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (v.get(k - 1) ?? -1) < (v.get(k + 1) ?? -1));
      let x = down ? v.get(k + 1) ?? 0 : (v.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x++;
        y++;
      }
      v.set(k, x);
      if (x >= a.length && y >= b.length) return trace;
    }
  }
  return null;
}

/** around leaves out what is far from any difference: [[kind, line]], with ["…", count] for what is left out. */
export function around(lines, near = 3) {
  const keep = new Set();
  lines.forEach(([kind], i) => {
    if (kind !== " ") for (let j = i - near; j <= i + near; j++) keep.add(j);
  });
  const out = [];
  let left = 0;
  lines.forEach((line, i) => {
    if (!keep.has(i)) {
      left++;
      return;
    }
    if (left > 0) out.push(["…", left]);
    left = 0;
    out.push(line);
  });
  if (left > 0) out.push(["…", left]);
  return out;
}
