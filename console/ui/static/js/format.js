// Numbers, times and sizes as text. Widths stay steady: tabular figures, one
// form per magnitude.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** int: 1,461; from ten million on 12.35M. */
export const int = (n) => (Math.abs(n) < 1e7 ? whole.format(n) : compact.format(n));

/** exact: all digits of a count. */
export const exact = (n) => whole.format(n);

/** short: at most five characters: 9,999, 15.3k, 138k, 1.5M, 12.4M. */
export function short(n) {
  if (Math.abs(n) < 1e4) return whole.format(n);
  let unit = 0;
  let v = n / 1e3;
  for (; Math.abs(v) >= 999.5 && unit < 3; unit++) v /= 1e3;
  return (Math.abs(v) < 99.95 ? v.toFixed(1).replace(/\.0$/, "") : v.toFixed(0)) + ["k", "M", "G", "T"][unit];
}

/** rate of something per second: 0, 0.4, 12.5, 1,234, 1.25M. */
export function rate(perSecond) {
  if (perSecond < 0.05) return "0";
  if (perSecond < 100) return perSecond.toFixed(1);
  return perSecond < 1e6 ? whole.format(perSecond) : compact.format(perSecond);
}

/** duration in seconds: 38 µs, 4.2 ms, 412 ms, 1.24 s, 2 m 03 s, 1 h 02 m. */
export function duration(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 1e-3) return `${trim(seconds * 1e6)} µs`;
  if (seconds < 1) return `${trim(seconds * 1e3)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(1)} s`;
  return span(seconds);
}

const trim = (n) => (n < 10 ? n.toFixed(1) : n.toFixed(0));

/** span in whole seconds and up: 7 s, 2 m 03 s, 1 h 02 m, 3 d 04 h. */
export function span(seconds) {
  const t = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  if (t < 60) return `${t} s`;
  if (t < 3600) return `${Math.floor(t / 60)} m ${two(t % 60)} s`;
  if (t < 86400) return `${Math.floor(t / 3600)} h ${two(Math.floor((t % 3600) / 60))} m`;
  return `${Math.floor(t / 86400)} d ${two(Math.floor((t % 86400) / 3600))} h`;
}

/** words is a duration as the API writes it, with spaces and without what is zero: 1h30m0s is 1 h 30 m. */
export const words = (text) => String(text).replaceAll(/(?<![\d.])0(?:h|m|s)/g, "").replaceAll(/([\d.]+)([a-zµ]+)/g, "$1 $2 ").trim() || "0 s";

/** clock is the local time of day of an ISO date: 14:03:07. */
export const clock = (iso) => clockFormat.format(new Date(iso));

/** moment is clock, with the day in front if it is not today. */
export function moment(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clockFormat.format(at) : `${dayFormat.format(at)} ${clockFormat.format(at)}`;
}

/** bytes: 812 B, 14.2 MB. */
export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return [i === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1), units[i]];
}

/** plural: 1 row, 2 rows. */
export const plural = (n, one, many = one + "s") => `${int(n)} ${n === 1 ? one : many}`;

/**
 * numbers returns a formatter for a column of numbers: all with the same
 * decimals, as many as the data needs, at most two.
 */
export function numbers(values) {
  let decimals = 0;
  for (const v of values) {
    if (typeof v !== "number" || !Number.isFinite(v)) continue;
    for (; decimals < 2; decimals++) {
      const scaled = v * 10 ** decimals;
      if (Math.abs(scaled - Math.round(scaled)) < 1e-9 * Math.max(1, Math.abs(scaled))) break;
    }
    if (decimals === 2) break;
  }
  const f = new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals, useGrouping: "min2" });
  return (v) => f.format(v);
}
