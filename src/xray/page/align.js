// Aligns two runs: one row for each callback, by what it is, which task, and what it printed. Never by time or turn.
//
// A side is a trace and one of its loops, or all of them (`l` is 0). The tour's `align.rs` follows the same rules.

const MOST_CELLS = 4e6; // of the table that aligns; what is longer stands unaligned

/** The callbacks of a side, in the order in which they ran. */
function rowsOf(trace, l) {
  const rows = [];
  const known = new Map(); // loop and entry → row
  const readers = new Set(); // entries that read a signal
  trace.events.forEach((event, at) => {
    const here = event.l ?? 1;
    if (l !== 0 && here !== l) return;
    if (event.e === 'run' || event.e === 'skip') {
      const entry = trace.loops.get(here).entries[event.q];
      const turn = trace.turns[trace.turnOf[at]];
      const row = { ...identityOf(trace, trace.loops.get(here), entry), skipped: event.e === 'skip', text: '', at, entry, l: here, turn: turn?.n, run: turn?.run };
      known.set(`${here}.${event.q}`, row);
      rows.push(row);
    } else if (event.e === 'out' && event.by !== undefined) {
      const row = known.get(`${here}.${event.by}`);
      if (row) row.text += event.text;
    } else if (event.e === 'push' && event.via === 'signal') readers.add(`${here}.${event.by}`);
  });
  // CPython reads its self-pipe when a thread wakes it, too. looplab does not.
  return rows.filter((row) => row.name !== 'read_signals' || readers.has(`${row.l}.${row.entry.q}`));
}

/** What a callback is, on any runtime. The name `*` is like any other. */
function identityOf(trace, loop, entry) {
  if (entry.task !== undefined && (entry.kind === 'step' || entry.kind === 'wakeup')) {
    const name = taskName(loop, entry.task);
    return { what: 'task', name: /^Task-\d+$/.test(name) ? '*' : name };
  }
  if (entry.own || entry.cb === 'read_signals') return { what: 'own', name: lastSegment(entry.cb) };
  const closure = /\{closure[^}]*\}+$|<lambda>$/.test(entry.cb) || !/::|\.|_/.test(entry.cb);
  return { what: 'code', name: closure ? '*' : lastSegment(entry.cb) };
}

function areAlike(a, b) {
  return a.what === b.what && a.text === b.text && a.skipped === b.skipped && (a.name === b.name || a.name === '*' || b.name === '*');
}

/** Aligns two lists of rows by their longest common subsequence. Returns pairs; one side of a pair may be missing. */
function align(left, right) {
  let begin = 0;
  while (begin < left.length && begin < right.length && areAlike(left[begin], right[begin])) begin++;
  const pairs = left.slice(0, begin).map((row, i) => [row, right[i]]);
  const [a, b] = [left.slice(begin), right.slice(begin)];
  if (a.length * b.length > MOST_CELLS) return [...pairs, ...a.map((row) => [row, undefined]), ...b.map((row) => [undefined, row])];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] = areAlike(a[i], b[j]) ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && areAlike(a[i], b[j])) pairs.push([a[i++], b[j++]]);
    else if (j === b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) pairs.push([a[i++], undefined]);
    else pairs.push([undefined, b[j++]]);
  }
  return pairs;
}

/** `=`: the same, in the same turn. `≈`: in another turn. `≠`: on one side only. */
function signOf([a, b]) {
  return !a || !b ? '≠' : a.turn === b.turn ? '=' : '≈';
}
