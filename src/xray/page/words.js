// The sentence of an event: facts about it, and the row of the table of words that they choose.
// `words.rs` says the same; a test compares them at every event of every lesson.

/** Chooses the first row whose condition holds. Undefined if none does. */
function choose(rows, facts) {
  return rows.find((row) => (row.if ?? '').split(' & ').filter(Boolean).every((test) => holds(test, facts)));
}

function holds(test, facts) {
  if (test.startsWith('!')) return !has(facts, test.slice(1));
  const [, name, not, value] = /^([^=!]+)(?:(!?)=(.*))?$/.exec(test);
  if (value === undefined) return has(facts, name);
  return (not === '!') !== (String(facts[name] ?? '') === value);
}

function has(facts, name) {
  return facts[name] !== undefined && facts[name] !== '' && facts[name] !== false;
}

/** Puts facts into a template. */
function fill(template, facts) {
  return template.replace(/\{([^{}]*)\}/g, (_, slot) => {
    if (slot.startsWith('@')) return part(slot.slice(1), facts) ?? '';
    const [, name, sign, one, many] = /^([^|?]*)([|?])?([^|]*)\|?(.*)$/.exec(slot);
    if (sign === undefined) return String(facts[name]);
    const noun = Number(facts[name]) === 1 ? one : many;
    return sign === '|' ? `${facts[name]} ${noun}` : noun;
  });
}

function part(name, facts) {
  const row = choose(WORDS.parts[name], facts);
  return row && fill(row.say, facts);
}

/** What is said at event `at`, and who says it. `loops` are the states after it. */
function sentenceAt(trace, loops, at) {
  const event = trace.events[at];
  const facts = factsOf(trace, loops.get(event.l ?? 1), event);
  const kind = event.e === 'park' && event.on === undefined ? 'yield' : event.e;
  const row = choose(WORDS.events[kind] ?? WORDS.events['*'], facts);
  return { who: fill(row.who, facts), say: fill(row.say, facts).trim() };
}

/** All that a sentence may say about an event. */
function factsOf(trace, s, event) {
  const loop = trace.loops.get(s.l);
  const facts = {
    turn: s.turn, run: s.run, running: s.running, stopping: s.stopping, dropped: s.dropped,
    queued: s.ready.length, left: s.left, size: s.size, nth: s.nth, collecting: s.phase === 'collect', leftovers: s.leftovers > 0,
    kind: event.kind, via: event.via, ev: event.ev, n: event.n, why: event.why, dir: event.dir, fd: event.fd,
    st: event.st, thr: event.thr, wake: event.wake, err: short(event.err), exc: event.exc, val: short(event.val),
  };
  speaker(trace, loop, s, event, facts);
  subject(trace, loop, s, event, facts);
  details(trace, loop, s, event, facts);
  return facts;
}

/** Notes who acts: an entry that runs, or the program outside of all callbacks. */
function speaker(trace, loop, s, event, facts) {
  const q = event.by ?? s.current;
  const entry = q === null || q === undefined ? undefined : loop.entries[q];
  facts.actor = entry ? speakerOf(trace, entry) : 'program';
  // A `task` line of an older trace does not say who made it: whatever runs.
  if (entry && (event.by !== undefined || event.e === 'task')) facts.by = nameOf(trace, loop, entry);
}

function speakerOf(trace, entry) {
  return isOwn(trace, entry) ? 'loop' : 'code';
}

/** Notes `x`, the name of what the event is about. */
function subject(trace, loop, s, event, facts) {
  const entry = loop.entries[event.q];
  switch (event.e) {
    case 'push': case 'due': case 'run': case 'skip': case 'ret':
      facts.x = nameOf(trace, loop, entry);
      facts.whose = entry ? speakerOf(trace, entry) : 'code';
      if (event.e === 'run') facts.kind = entry?.kind;
      break;
    case 'timer': case 'tcancel': case 'cancel': case 'reg': case 'sigreg': case 'sel':
      facts.x = event.h === undefined ? undefined : handleName(trace, loop, event.h);
      break;
    case 'task': case 'step': case 'park': case 'creq': case 'tdone':
      facts.x = taskName(loop, event.task);
      break;
    case 'job': case 'jrun': case 'jend': {
      const job = loop.jobs.get(event.job);
      facts.x = job ? codeName(trace, job.cb, job.src) : 'a job';
      break;
    }
  }
}

/** Notes what only some kinds of events have. */
function details(trace, loop, s, event, facts) {
  switch (event.e) {
    case 'tdrop':
      facts.n = event.hs.length;
      break;
    case 'sel':
      if (event.to !== null) facts.due = event.to === 0 ? 'now' : duration(event.to);
      break;
    case 'polled': {
      const { why, to, slept } = s.look;
      if (event.ev.length > 0) facts.fds = event.ev.map(([fd, mask]) => `fd ${fd} ${['', 'readable', 'writable', 'readable and writable'][mask]}`).join(', ');
      if (slept > 0) facts.slept = duration(slept);
      facts.timer = why === 'timer' && slept >= to;
      facts.early = to !== 0 && to !== undefined && !facts.timer;
      break;
    }
    case 'due':
      if (event.late > 0) facts.late = duration(event.late);
      break;
    case 'push': {
      const task = s.tasks.find((task) => task.id === event.task);
      facts.first = task?.steps === 0;
      facts.self = event.by !== undefined && loop.entries[event.by]?.task === event.task;
      facts.cause = causeName(trace, loop, event.cause);
      if (event.sig !== undefined) facts.sig = signalName(event.sig);
      break;
    }
    case 'timer':
      facts.due = event.when <= event.t ? '0 ms' : duration(event.when - event.t);
      facts.sleeper = isOwn(trace, loop.handles.get(event.h)) && loop.handles.get(event.h).task !== undefined;
      break;
    case 'cancel':
      facts.inqueue = s.ready.some((entry) => entry.h === event.h);
      break;
    case 'task':
      facts.again = loop.tasks.get(event.task).s !== event.s;
      break;
    case 'step':
      facts.first = s.tasks.find((task) => task.id === event.task)?.steps === 1;
      break;
    case 'park': {
      const place = trace.places.get(event.stack?.[0]);
      if (place) facts.place = placeName(place);
      if (event.on?.task !== undefined) facts.other = taskName(loop, event.on.task);
      if (event.holder !== undefined) facts.holder = taskName(loop, event.holder);
      break;
    }
    case 'creq':
      facts.self = event.by !== undefined && loop.entries[event.by]?.task === event.task;
      break;
    case 'fdone':
      facts.kind = loop.futures.get(event.fut)?.kind;
      break;
    case 'sigreg': case 'sigunreg': case 'sig':
      facts.sig = signalName(event.sig);
      if (event.at < event.t && event.t - event.at >= 1e6) facts.waited = duration(event.t - event.at);
      break;
    case 'out':
      facts.text = short(event.text);
      break;
    case 'mark':
      facts.text = event.name;
      break;
  }
  if (!Object.hasOwn(WORDS.events, event.e)) facts.kind = event.e;
}

/** Names what is done and so queued an entry. */
function causeName(trace, loop, cause) {
  if (cause?.task !== undefined) return `The task \`${taskName(loop, cause.task)}\``;
  const kind = loop.futures.get(cause?.fut)?.kind;
  return kind && `The future of ${part('waits', { kind })}`;
}

function placeName(place) {
  return `${place.file.split('/').at(-1)}:${place.line}`;
}

/** A text of the program, on one line. */
function short(text) {
  if (text === undefined) return undefined;
  const chars = [...String(text).replace(/\s+/g, ' ').trim()];
  return chars.length <= 60 ? chars.join('') : `${chars.slice(0, 59).join('')}…`;
}
