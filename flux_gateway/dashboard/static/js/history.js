// A node's last 15 minutes, and the sum over many nodes.

export const SPAN = 900;
const COLUMNS = ["connections", "messages_in", "messages_out", "cpu", "rss"];

export class History {
  at = [];
  values = Object.fromEntries([...COLUMNS, "rate"].map((name) => [name, []]));

  fill(columns) {
    this.at = columns.at;
    for (const name of COLUMNS) this.values[name] = columns[name];
    this.values.rate = columns.messages_in.map((value, i) => value + columns.messages_out[i]);
  }

  /** Add a node's newest figures unless they are the ones already known. */
  append(node) {
    const at = Math.round(node.heartbeat_at * 10) / 10;
    if (this.at.length && at <= this.at.at(-1)) return;
    this.at.push(at);
    for (const name of COLUMNS) this.values[name].push(node[name]);
    this.values.rate.push(node.messages_in + node.messages_out);
    while (this.at[0] < at - SPAN) {
      this.at.shift();
      for (const column of Object.values(this.values)) column.shift();
    }
  }

  /** The seconds between two samples, as they usually are. */
  interval() {
    const gaps = this.at.slice(1).map((at, i) => at - this.at[i]).sort((a, b) => a - b);
    return gaps.length ? gaps[Math.floor(gaps.length / 2)] : 5;
  }
}

/** The sum of one column over nodes at even steps: each node counts with its last sample, if that is recent enough. */
export function total(histories, name, now, step = 10) {
  const from = now - SPAN;
  const points = [];
  const cursors = histories.map((history) => ({ history, at: -1, reach: Math.max(16, 3 * history.interval()) }));
  for (let time = from; time <= now; time += step) {
    let sum = 0;
    let heard = false;
    for (const cursor of cursors) {
      const { at, values } = cursor.history;
      while (cursor.at + 1 < at.length && at[cursor.at + 1] <= time) cursor.at += 1;
      // At the left edge the first sample is yet to come, but the node was there.
      const nearest = cursor.at < 0 && at[0] <= from + cursor.reach ? 0 : cursor.at;
      if (nearest >= 0 && Math.abs(time - at[nearest]) <= cursor.reach) {
        sum += values[name][nearest];
        heard = true;
      }
    }
    if (heard) points.push([time, sum]);
  }
  return points;
}
