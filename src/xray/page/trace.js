// Reads a trace's lines. Positions on the page are numbers of events: every line but definitions and snapshots.

/** Parses JSON Lines. Half a last line, which a killed program leaves, is ignored, as is what is no event. */
function readTrace(text, name) {
  const trace = {
    name, meta: {}, events: [], loops: new Map(),
    places: new Map(), // number → { file, line, column, text }
    files: new Map(), // path → text
    snaps: new Map(), // number of the event → the loop's own state after it
    cut: false,
    marksOwn: false, // whether the recorder says which entries are the crate's own
  };
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    if (lines[i] === '') continue;
    let line;
    try {
      line = JSON.parse(lines[i]);
    } catch {
      trace.cut = true;
      continue;
    }
    if (typeof line?.e !== 'string') continue;
    if (line.e === 'meta') trace.meta = line;
    else if (line.e === 'def') define(trace, line);
    else if (line.e === 'snap') trace.snaps.set(trace.events.length - 1, line.state);
    else trace.events.push(line);
  }
  index(trace);
  return trace;
}

function define(trace, line) {
  if (line.k === 'src') trace.places.set(line.id, readPlace(line.v));
  if (line.k === 'file') trace.files.set(line.v, line.text ?? '');
}

function readPlace(text) {
  const [, file, line, column] = /^(.*?):(\d+)(?::(\d+))?$/.exec(text) ?? [text, text, 0, 0];
  return { file, line: Number(line), column: Number(column ?? 0), text };
}

/** Notes what each number of the trace means, and which events belong to which turn. */
function index(trace) {
  const { events } = trace;
  trace.turns = [];
  trace.turnOf = new Int32Array(events.length).fill(-1);
  for (let i = 0; i < events.length; i++) {
    const event = events[i];
    const loop = loopOf(trace, event.l ?? 1);
    if (event.own) trace.marksOwn = true;
    indexNumbers(loop, event, i);
    indexTurn(trace, loop, event, i);
    trace.turnOf[i] = loop.turn ?? -1;
  }
  trace.starts = [...trace.turns.keys()];
}

function loopOf(trace, l) {
  if (!trace.loops.has(l)) {
    trace.loops.set(l, { l, entries: [], handles: new Map(), tasks: new Map(), futures: new Map(), jobs: new Map(), run: 0 });
  }
  return trace.loops.get(l);
}

function indexNumbers(loop, event, i) {
  switch (event.e) {
    case 'push':
      loop.entries[event.q] = { q: event.q, h: event.h, cb: event.cb, kind: event.kind, task: event.task, src: event.src, own: event.own, by: event.by, via: event.via, push: i };
      noteHandle(loop, loop.entries[event.q]);
      break;
    case 'timer':
      loop.handles.set(event.h, { h: event.h, cb: event.cb, kind: 'timer', task: event.task ?? sleeper(loop, event), src: event.src, own: event.own, by: event.by, push: i, timer: true });
      break;
    case 'due':
      loop.entries[event.q] = { ...loop.handles.get(event.h), q: event.q, due: i };
      break;
    case 'reg':
      loop.handles.set(event.h, { h: event.h, cb: event.cb, kind: 'io', push: i });
      break;
    case 'sigreg':
      loop.handles.set(event.h, { h: event.h, cb: event.cb, kind: 'cb', own: false, push: i });
      break;
    case 'run':
    case 'skip':
      if (loop.entries[event.q]) loop.entries[event.q].run = i;
      break;
    case 'ret':
      if (loop.entries[event.q]) loop.entries[event.q].ret = i;
      break;
    case 'task': {
      const known = loop.tasks.get(event.task);
      if (known) known.name = event.name;
      else loop.tasks.set(event.task, { id: event.task, name: event.name, coro: event.coro, src: event.src, made: i, s: event.s });
      break;
    }
    case 'fut':
      loop.futures.set(event.fut, { kind: event.kind, src: event.src });
      break;
    case 'job':
      loop.jobs.set(event.job, { cb: event.fn, src: event.src, own: event.own });
      break;
  }
}

/** A handle is known by its first entry. What was registered learns from its entries whose it is, and its place. */
function noteHandle(loop, entry) {
  const known = loop.handles.get(entry.h);
  if (!known) loop.handles.set(entry.h, entry);
  else if (known.own === undefined && entry.own) known.own = true;
  if (known && known.src === undefined) known.src = entry.src;
}

/** The task of a sleep's timer, in a trace whose timers do not name it: the task whose step sets it. */
function sleeper(loop, timer) {
  return timer.cb === 'sleep' || timer.cb === 'timeout' ? loop.entries[timer.by]?.task : undefined;
}

function indexTurn(trace, loop, event, i) {
  const turn = trace.turns[loop.turn];
  if (turn) turn.last = i;
  switch (event.e) {
    case 'loop':
      if (event.ev === 'run') loop.run += 1;
      if (event.ev === 'run' || event.ev === 'closed') loop.turn = undefined;
      break;
    case 'turn':
      loop.turn = trace.turns.length;
      trace.turns.push({ l: loop.l, run: loop.run, n: event.n, first: i, last: i, ran: [], slept: 0, stop: false, disturbed: false });
      break;
    case 'sel':
      loop.polls = event.t;
      break;
    case 'polled':
      if (turn) turn.slept = event.t - loop.polls;
      break;
    case 'run':
    case 'skip':
      if (turn && loop.entries[event.q]) turn.ran.push(loop.entries[event.q]);
      break;
    case 'stop':
      if (turn) turn.stop = true;
      break;
    case 'mark':
      if (turn && event.kind === 'explore') turn.disturbed = true;
      break;
  }
}
