// Numbers and times as people read them, always with a unit.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => (value >= 1e6 ? short.format(value) : whole.format(value));

export const compact = (value) => (value < 1000 ? rate(value) : short.format(value).replace("K", "k"));

export function rate(value) {
  if (value >= 1e5) return short.format(value).replace("K", "k");
  return value < 10 ? tenth.format(value) : whole.format(value);
}

export const percent = (value) => (value < 10 ? tenth : whole).format(value);

/** Bytes as [number, unit]. */
export function bytes(value) {
  if (value >= 2 ** 30) return [tenth.format(value / 2 ** 30), "GiB"];
  if (value >= 2 ** 20) return [(value < 10 * 2 ** 20 ? tenth : whole).format(value / 2 ** 20), "MiB"];
  return [whole.format(value / 1024), "KiB"];
}

/** Seconds as the largest unit that says enough: 4 s, 3 min, 2 h 5 min, 3 d. */
export function duration(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min`;
  if (all < 86400) {
    const minutes = Math.floor((all % 3600) / 60);
    return `${Math.floor(all / 3600)} h${minutes ? ` ${minutes} min` : ""}`;
  }
  return `${Math.floor(all / 86400)} d`;
}

export const clock = (unix) =>
  new Date(unix * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export function moment(unix) {
  const at = new Date(unix * 1000);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock(unix) : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock(unix)}`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** "a", "a and b", "a, b and c", "a, b and 3 more". */
export function names(list, most = 3) {
  const shown = list.length > most ? [...list.slice(0, most - 1), `${list.length - most + 1} more`] : list;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

/** The sessions that proxies have moved: "110", "110, 98 reattached", "0, 2 failed"; what did not happen is left out. */
export function movedText(moves) {
  const also = [["reattach", "reattached"], ["failed", "failed"]].filter(([name]) => moves[name]);
  return [count(moves.move ?? 0), ...also.map(([name, word]) => `${count(moves[name])} ${word}`)].join(", ");
}

/** Add up figures by name. */
export function sums(list) {
  const found = {};
  for (const figures of list) for (const [name, n] of Object.entries(figures)) found[name] = (found[name] ?? 0) + n;
  return found;
}
