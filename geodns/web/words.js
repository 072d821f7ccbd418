/** Numbers and times in words. */

const UNITS = [
  [86400, "day", "days"],
  [3600, "h", "h"],
  [60, "min", "min"],
];

/** A duration, with the two units that matter: "45 s", "3 min", "2 h 5 min", "3 days". */
export function duration(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  const at = UNITS.findIndex(([size]) => all >= size);
  if (at < 0) return `${all} s`;
  const [size, one, many] = UNITS[at];
  const count = Math.floor(all / size);
  const first = `${count} ${count === 1 ? one : many}`;
  if (at === 2 || count >= 10) return first;
  const [smaller, , unit] = UNITS[at + 1];
  const rest = Math.floor((all - count * size) / smaller);
  return rest ? `${first} ${rest} ${unit}` : first;
}

/** A time of day here, with its date unless that is today's. */
export function clock(date, now = new Date(), { seconds = true } = {}) {
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}${seconds ? `:${two(date.getSeconds())}` : ""}`;
  if (date.toDateString() === now.toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** A whole number with its thousands apart. Not by toLocaleString: its first call takes 60 ms. */
export const whole = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

/** A part of one: "62.5 %", "50 %", "0.2 %". */
export function percent(part) {
  const value = part * 100;
  const digits = value === 0 || value >= 99.95 || Math.abs(value - Math.round(value)) < 0.005 ? 0 : value < 1 ? 2 : 1;
  return `${value.toFixed(digits)} %`;
}

/** A number as short as it may be: "1,250", "12.5", "7", "0.07". */
export function amount(value) {
  if (Number.isInteger(value) || value >= 100) return whole(Math.round(value));
  return value.toFixed(value >= 1 ? 1 : 2);
}

/** Address families by the type of their records. */
export const FAMILIES = { A: "IPv4", AAAA: "IPv6" };

/** An address with its port; that of IPv6 stands in brackets. */
export const place = (address, port) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);

export function count(number, one, many = `${one}s`) {
  return `${whole(number)} ${number === 1 ? one : many}`;
}

/** "a, b and c"; of many the first few, "and 7 more". */
export function list(words, most = 5) {
  const shown = words.length > most ? [...words.slice(0, most - 1), `${words.length - most + 1} more`] : words;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
