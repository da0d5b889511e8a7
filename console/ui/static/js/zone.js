// Instants in the reader's time zone and in that of a schedule.

import { h } from "./dom.js";

const formats = new Map();

function format(zone) {
  if (!formats.has(zone)) {
    const options = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" };
    let f;
    try {
      f = new Intl.DateTimeFormat("en-GB", zone ? { ...options, timeZone: zone } : options);
    } catch {
      f = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }); // a zone that this browser does not know
    }
    formats.set(zone, f);
  }
  return formats.get(zone);
}

/** inZone is an instant in a time zone, "" for the reader's: Sun, 29 Mar, 02:30:00 CET. */
export const inZone = (iso, zone) => format(zone).format(new Date(iso));

/** bothZones shows an instant as the reader's clock says it and, if it differs, as the schedule's does. */
export function bothZones(iso, zone = "UTC") {
  const [mine, theirs] = [inZone(iso, ""), inZone(iso, zone)];
  return h("span", { class: "instant" }, h("time", { class: "num", datetime: iso }, mine), mine === theirs ? null : h("span", { class: "faded num", title: zone }, theirs));
}

/** until says how long it is to an instant: in 3 m, now. */
export function until(iso) {
  const s = Math.round((new Date(iso) - Date.now()) / 1000);
  if (s <= 0) return "now";
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "m"]]) if (s >= unit) return `in ${Math.floor(s / unit)} ${name}${unit > 60 && s % unit >= unit / 24 ? ` ${Math.floor((s % unit) / (unit === 86400 ? 3600 : 60))} ${unit === 86400 ? "h" : "m"}` : ""}`;
  return `in ${s} s`;
}
