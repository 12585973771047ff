// Goes from events to a loop's state: one rule for each kind of event, as `docs/trace.md` lists them.
//
// Objects in a state never change; a rule puts a new one in their place. So a copy of a state is a
// copy of its lists, and stepping back costs what stepping forward costs.

class LoopState {
  constructor(l) {
    this.l = l;
    Object.assign(this, { turn: 0, run: 0, running: false, closed: false, stopping: false, left: 0 });
    Object.assign(this, { ready: [], timers: [], io: [], signals: [], jobs: [], tasks: [] });
    this.cancelled = new Set(); // handles: one may be cancelled before it is queued
    // What the panes show beside the loop's own structures.
    Object.assign(this, { phase: 'idle', current: null, size: 0, nth: 0, ran: [], ended: [], over: [], look: {}, dropped: 0, leftovers: 0 });
  }

  copy() {
    const copy = Object.assign(Object.create(LoopState.prototype), this);
    for (const list of ['ready', 'timers', 'io', 'signals', 'jobs', 'tasks', 'ran', 'ended', 'over']) copy[list] = this[list].slice();
    copy.cancelled = new Set(this.cancelled);
    copy.look = { ...this.look };
    return copy;
  }

  /** The state in the form of a `snap` line, to be compared with one. */
  snap(trace) {
    const place = (src) => (src === undefined ? {} : { src: trace.places.get(src)?.text });
    const task = (id) => (id === undefined ? {} : { task: id });
    return {
      turn: this.turn, running: this.running, closed: this.closed, stopping: this.stopping,
      ready: this.ready.map((e) => ({ q: e.q, h: e.h, kind: e.kind, cb: e.cb, ...task(e.task), cancelled: e.cancelled, ...place(e.src) })),
      left: this.left,
      timers: this.timers.map((t) => ({ h: t.h, when: t.when, cancelled: t.cancelled, cb: t.cb, ...place(t.src) })),
      io: this.io.map(({ fd, r, w }) => ({ fd, ...(r === undefined ? {} : { r }), ...(w === undefined ? {} : { w }) })),
      signals: this.signals.map(({ sig, h, cb }) => ({ sig, h, cb })),
      jobs: this.jobs.map(({ id, cb, running }) => ({ id, cb, running })),
      tasks: this.tasks.map(({ id, name, state, on }) => ({ id, name, state, ...(state === 'waiting' ? { on } : {}) })),
    };
  }
}

const RULES = {
  loop(s, e) {
    if (e.ev === 'run') Object.assign(s, { running: true, run: s.run + 1, phase: 'begin', ran: [], size: 0, look: {} });
    if (e.ev === 'end') Object.assign(s, { running: false, left: 0, phase: 'idle', ran: [], size: 0, look: {}, leftovers: s.ready.length });
    if (e.ev === 'closed') {
      const { l, turn, run, stopping, ready, ended } = s;
      Object.assign(s, new LoopState(l), { turn, run, stopping, ended, closed: true, phase: 'closed', dropped: ready.length });
    }
  },
  turn(s, e) {
    Object.assign(s, { turn: e.n, left: 0, phase: 'sweep', ran: [], size: 0, nth: 0, look: { swept: 0, collected: [] } });
  },
  tdrop(s, e) {
    const gone = new Set(e.hs);
    s.timers = s.timers.filter((timer) => !gone.has(timer.h));
    if (s.phase === 'sweep') s.look = { ...s.look, swept: (s.look.swept ?? 0) + e.hs.length };
  },
  sel(s, e) {
    s.phase = 'ask';
    s.look = { ...s.look, why: e.why, to: e.to, timer: e.h, polls: e.t };
  },
  polled(s, e) {
    s.phase = 'poll';
    s.look = { ...s.look, ready: e.ev, wake: e.wake, slept: e.t - (s.look.polls ?? e.t) };
  },
  push(s, e) {
    if (e.kind === 'step' || e.kind === 'wakeup') setTask(s, e.task, { state: 'queued', on: undefined, queued: e.kind });
    s.ready.push({ q: e.q, h: e.h, kind: e.kind, cb: e.cb, task: e.task, src: e.src, cancelled: s.cancelled.has(e.h) });
    collect(s, e.q);
  },
  due(s, e) {
    const timer = takeTimer(s, e.h);
    if (!timer) return;
    s.ready.push({ q: e.q, h: e.h, kind: 'cb', cb: timer.cb, src: timer.src, cancelled: timer.cancelled });
    collect(s, e.q);
  },
  batch(s, e) {
    Object.assign(s, { left: e.n, size: e.n, nth: 0, ran: [], phase: 'freeze' });
  },
  run(s, e) {
    takeHead(s);
    Object.assign(s, { current: e.q, phase: 'run' });
  },
  skip(s) {
    takeHead(s);
    s.phase = 'run';
  },
  ret(s) {
    s.current = null;
  },
  timer(s, e) {
    const timer = { h: e.h, when: e.when, cb: e.cb, task: e.task, src: e.src, by: e.by, cancelled: s.cancelled.has(e.h) };
    let at = s.timers.length;
    while (at > 0 && (s.timers[at - 1].when > e.when || (s.timers[at - 1].when === e.when && s.timers[at - 1].h > e.h))) at--;
    s.timers.splice(at, 0, timer);
  },
  tcancel(s, e) {
    s.cancelled.add(e.h);
    replace(s.timers, (timer) => timer.h === e.h, { cancelled: true });
  },
  cancel(s, e) {
    s.cancelled.add(e.h);
    s.ready = s.ready.map((entry) => (entry.h === e.h ? { ...entry, cancelled: true } : entry));
  },
  stop(s) {
    s.stopping = true;
  },
  unstop(s) {
    Object.assign(s, { stopping: false, left: 0, phase: 'stop' });
    s.look = { ...s.look, stopped: true };
  },
  reg(s, e) {
    const old = s.io.find((io) => io.fd === e.fd) ?? { fd: e.fd };
    s.io = [...s.io.filter((io) => io.fd !== e.fd), { ...old, [e.dir]: e.h, [`${e.dir}cb`]: e.cb }].sort((a, b) => a.fd - b.fd);
  },
  unreg(s, e) {
    const old = s.io.find((io) => io.fd === e.fd);
    s.io = s.io.filter((io) => io.fd !== e.fd);
    const now = { ...old, [e.dir]: undefined };
    if (old && (now.r !== undefined || now.w !== undefined)) s.io = [...s.io, now].sort((a, b) => a.fd - b.fd);
  },
  sigreg(s, e) {
    RULES.sigunreg(s, e);
    s.signals = [...s.signals, { sig: e.sig, h: e.h, cb: e.cb ?? '', src: e.src }].sort((a, b) => a.sig - b.sig);
  },
  sigunreg(s, e) {
    s.signals = s.signals.filter((signal) => signal.sig !== e.sig);
  },
  task(s, e) {
    if (setTask(s, e.task, { name: e.name })) {
      s.ready = s.ready.map((entry) => (entry.task === e.task ? { ...entry, cb: `${e.name}.${entry.kind}` } : entry));
    } else {
      const at = s.tasks.findIndex((task) => task.id > e.task);
      s.tasks.splice(at < 0 ? s.tasks.length : at, 0, { id: e.task, name: e.name, state: 'queued', steps: 0 });
    }
  },
  step(s, e) {
    const steps = s.tasks.find((task) => task.id === e.task)?.steps ?? 0;
    setTask(s, e.task, { state: 'running', steps: steps + 1, asked: false });
  },
  park(s, e) {
    if (e.on === undefined) return;
    setTask(s, e.task, { state: 'waiting', on: [e.on, ...(e.also ?? [])], kind: e.kind, at: e.stack?.[0] });
  },
  creq(s, e) {
    setTask(s, e.task, { asked: true });
  },
  tdone(s, e) {
    const task = s.tasks.find((task) => task.id === e.task);
    s.tasks = s.tasks.filter((task) => task.id !== e.task);
    if (task) s.ended = [...s.ended.slice(-5), { ...task, state: 'done', st: e.st }];
  },
  job(s, e) {
    s.jobs.push({ id: e.job, cb: e.fn, src: e.src, running: false });
  },
  jrun(s, e) {
    replace(s.jobs, (job) => job.id === e.job, { running: true, thr: e.thr });
  },
  jend(s, e) {
    const job = s.jobs.find((job) => job.id === e.job);
    s.jobs = s.jobs.filter((job) => job.id !== e.job);
    if (job) s.over = [...s.over.slice(-2), { ...job, thr: e.thr, st: e.st }];
  },
};

function takeHead(s) {
  const head = s.ready.shift();
  s.left -= 1;
  s.nth += 1;
  if (head) s.ran.push(head);
}

function takeTimer(s, h) {
  const at = s.timers.findIndex((timer) => timer.h === h);
  return at < 0 ? undefined : s.timers.splice(at, 1)[0];
}

/** Notes what joins the queue between poll and freeze. */
function collect(s, q) {
  if (s.phase !== 'poll' && s.phase !== 'collect') return;
  s.phase = 'collect';
  s.look = { ...s.look, collected: [...(s.look.collected ?? []), q] };
}

function replace(list, which, change) {
  const at = list.findIndex(which);
  if (at >= 0) list[at] = { ...list[at], ...change };
  return at >= 0;
}

function setTask(s, id, change) {
  return replace(s.tasks, (task) => task.id === id, change);
}

/** Changes the states of all loops by one event. */
function apply(loops, event) {
  const l = event.l ?? 1;
  if (!loops.has(l)) loops.set(l, new LoopState(l));
  const s = loops.get(l);
  // Closing removes everything at once: later lines about the tasks that it ends change nothing.
  const survives = event.e === 'loop' || event.e === 'stop' || event.e === 'unstop';
  if (Object.hasOwn(RULES, event.e) && (survives || !s.closed)) RULES[event.e](s, event);
}

/** Finds the states after any event, from copies kept on the way. */
class Replay {
  constructor(trace) {
    this.events = trace.events;
    this.every = Math.max(400, Math.ceil(trace.events.length / 100));
    this.kept = [new Map()]; // the states before event 0, `every`, 2 × `every` …
    this.next = 0; // the event that `loops` does not know yet
    this.loops = new Map();
  }

  /** The states of all loops after event `at`, by loop. They may be read until the next call. */
  at(at) {
    const from = Math.min(Math.floor((at + 1) / this.every), this.kept.length - 1);
    if (this.next > at + 1 || this.next < from * this.every) {
      this.next = from * this.every;
      this.loops = copyAll(this.kept[from]);
    }
    while (this.next <= at) {
      apply(this.loops, this.events[this.next++]);
      if (this.next === this.kept.length * this.every) this.kept.push(copyAll(this.loops));
    }
    return this.loops;
  }
}

function copyAll(loops) {
  return new Map([...loops].map(([l, state]) => [l, state.copy()]));
}
