// Names of entries, tasks and places as people know them. `names.rs` finds the same ones.

const LONGEST_CODE = 34;

/** Names an entry: a task, an entry of the crate itself, a closure by its code, or a function. */
function nameOf(trace, loop, entry) {
  if (!entry) return 'a callback';
  const { cb, kind } = entry;
  if (entry.task !== undefined && (kind === 'step' || kind === 'wakeup')) return taskName(loop, entry.task);
  if (isOwn(trace, entry)) {
    const task = entry.task === undefined ? undefined : taskName(loop, entry.task);
    return part('own', { label: cb, task }) ?? lastSegment(withoutClosures(cb));
  }
  return codeName(trace, cb, entry.src);
}

function taskName(loop, id) {
  return plain(loop.tasks.get(id)?.name ?? `task ${id}`);
}

/** Whether the crate made an entry for itself. Where a trace does not say so, its label does. */
function isOwn(trace, entry) {
  if (entry.kind === 'step' || entry.kind === 'wakeup') return false;
  if (entry.own !== undefined) return entry.own;
  if (trace.marksOwn && entry.kind !== 'io') return false;
  return part('own', { label: entry.cb }) !== undefined || part('own', { label: entry.cb, task: '-' }) !== undefined;
}

/** Names a function by its last segment, a closure by its code. */
function codeName(trace, label, src) {
  if (!/\{closure[^}]*\}+$|<lambda>$/.test(label)) return lastSegment(label);
  const place = trace.places.get(src);
  return part('closure', { code: closureCode(trace, place), line: place?.line, in: lastSegment(withoutClosures(label)) });
}

/** The path of the function that a closure is in. */
function withoutClosures(label) {
  return label.replace(/(::[^:]*\{closure[^:]*)+$/, '').replace(/(\.<locals>|\.?<lambda>)+$/, '');
}

function lastSegment(label) {
  return plain(label.split('::').at(-1).split('.').at(-1) || label);
}

/** Cuts a closure out of the source: the argument that is one, in the call at its place. */
function closureCode(trace, place) {
  const text = place && trace.files.get(place.file);
  if (!text) return undefined;
  const lines = text.split('\n').slice(place.line - 1, place.line + 11);
  lines[0] = [...(lines[0] ?? '')].slice(Math.max(0, place.column - 1)).join('');
  const open = lines.join('\n').indexOf('(');
  if (open < 0) return undefined;
  const argument = splitArguments([...lines.join('\n')].slice([...lines.join('\n').slice(0, open)].length + 1)).find(isClosure);
  return argument && shortCode(argument);
}

/** Splits a call's arguments, up to the parenthesis that closes it. */
function splitArguments(chars) {
  const all = [];
  let [depth, quoted, bars, argument] = [0, false, 0, ''];
  for (let i = 0; i < chars.length; i++) {
    const c = chars[i];
    if (c === '"' && chars[i - 1] !== '\\') quoted = !quoted;
    if (!quoted) {
      if (c === '|') bars += 1;
      if (')]}'.includes(c) && --depth < 0) break;
      if ('([{'.includes(c)) depth += 1;
      // A comma between a closure's bars stands between its parameters.
      if (c === ',' && depth === 0 && bars % 2 === 0) {
        all.push(argument.trim());
        argument = '';
        continue;
      }
    }
    argument += c;
  }
  return [...all, argument.trim()];
}

function isClosure(argument) {
  return /^(move )?\||^lambda\b/.test(argument);
}

function shortCode(closure) {
  let code = closure.replace(/^(move )?\|[^|]*\||^lambda[^:]*:/, '').trim();
  if (code.startsWith('{') && code.endsWith('}')) code = code.slice(1, -1);
  const chars = [...plain(code).replace(/\s+/g, ' ').trim()];
  return chars.length <= LONGEST_CODE ? chars.join('') : `${chars.slice(0, LONGEST_CODE - 1).join('')}…`;
}

/** A name must not end the backticks that stand around it in a sentence. */
function plain(name) {
  return name.replaceAll('`', "'");
}

/** The name of a handle: of a timer, a reader, a signal's handler, or of what was queued with it. */
function handleName(trace, loop, h) {
  return nameOf(trace, loop, loop.handles.get(h));
}

/** Writes nanoseconds as people read them, rounded. */
function duration(ns) {
  const tenths = (unit) => {
    const n = Math.floor((ns + unit / 20) / (unit / 10));
    return n % 10 === 0 || n >= 1000 ? `${Math.floor(n / 10)}` : `${Math.floor(n / 10)}.${n % 10}`;
  };
  const whole = (unit) => Math.floor((ns + unit / 2) / unit);
  if (ns < 1e3) return '0 ms';
  if (ns < 1e6) return `${Math.floor(ns / 1e3)} µs`;
  if (ns < 1e9) return `${tenths(1e6)} ms`;
  if (ns < 120e9) return `${tenths(1e9)} s`;
  if (ns < 7200e9) return `${whole(60e9)} min`;
  if (ns < 172800e9) return `${whole(3600e9)} h`;
  return `${whole(86400e9)} days`;
}

function signalName(number) {
  return WORDS.signals[number] ?? `signal ${number}`;
}
