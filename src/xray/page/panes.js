// The panes about the loop's own structures: this turn, the ready queue, tasks, timers, the outside, output.
//
// Each is a function of the state alone. What has changed since the last position has the class `fresh`.

const MANY = 36; // of a longer queue the first 33 and the last 3 are shown
const ROWS = 60;

/** A pane: a section with a heading. */
function pane(name, title, note, content) {
  return html`<section class="pane ${name}" aria-label=${title}>
    <h2>${title}${note ? html` <small>${note}</small>` : nothing}</h2>
    ${content}
  </section>`;
}

function empty(text) {
  return html`<p class="empty">${text}</p>`;
}

function count(n, one, many) {
  return `${n} ${n === 1 ? one : many}`;
}

/** Writes a sentence: what stands between backticks is a name. */
function withNames(text) {
  return text.split('`').map((piece, i) => (i % 2 === 1 ? html`<code>${piece}</code>` : piece));
}

// ---- this turn

const PHASES = ['sweep', 'ask', 'poll', 'collect', 'freeze', 'run', 'stop'];
const PHASE_NAMES = ['Sweep timers', 'May I sleep?', 'Ask the kernel', 'Collect', 'Freeze', 'Run', 'Stop flag?'];

function turnPane(view) {
  const { s } = view;
  if (!PHASES.includes(s.phase)) {
    return pane('turn', 'This turn', '', empty(s.closed ? 'closed' : s.running ? 'the run begins' : 'not running'));
  }
  const now = PHASES.indexOf(s.phase);
  return pane('turn', 'This turn', '', html`<div class="turn-body">
    ${ring(view.trace, s, now)}
    <ol class="phases">${PHASE_NAMES.map((name, i) => html`<li class=${i === now ? 'now' : i < now ? 'past' : 'to-come'} aria-current=${i === now ? 'step' : nothing}>
      <span>${name}</span><span class=${i === 6 && s.look.stopped ? 'fact alarm' : 'fact'}>${i <= now || (i === 6 && s.stopping) ? phaseFact(view, i) : ''}</span>
    </li>`)}</ol>
  </div>`);
}

function phaseFact({ trace, loop, s }, phase) {
  const { look } = s;
  switch (phase) {
    case 0: return look.swept ? `${look.swept} cancelled` : 'none';
    case 1: return {
      ready: 'No: something is ready', stopping: 'No: I am to stop', cap: '24 hours at most', idle: 'Until something wakes me',
    }[look.why] ?? (look.to === 0 ? 'No: a timer is due' : `${duration(look.to ?? 0)} at most`);
    case 2: {
      const slept = look.slept > 0 ? `slept ${duration(look.slept)}` : 'no sleep';
      const news = look.ready?.length ? look.ready.map(([fd]) => `fd ${fd}`).join(', ') : look.wake ?? 'nothing new';
      return `${slept}, ${news}`;
    }
    case 3: return openQuestion()?.kind === 'order' ? '?' : look.collected?.length ? look.collected.slice(0, 3).map((q) => nameOf(trace, loop, loop.entries[q])).join(', ') + (look.collected.length > 3 ? ' …' : '') : 'nothing';
    case 4: return html`a batch of <b>${s.size}</b>`;
    case 5: return s.size === 0 ? 'nothing' : `${s.nth} of ${s.size}`;
    default: return look.stopped ? 'it was set: leave' : s.stopping ? 'set' : 'not set';
  }
}

/** Seven arcs, one for each phase. The run's arc is the longest, and has a tick for each entry. */
function ring(trace, s, now) {
  const shares = [1, 1, 1.4, 1, 1, 3, 1];
  const whole = shares.reduce((a, b) => a + b);
  let from = 0;
  const arcs = shares.map((share, i) => {
    const begin = from;
    from += share / whole;
    const alarm = i === 6 && (s.stopping || s.look.stopped);
    const kind = `${i === now ? 'now' : i < now ? 'past' : 'to-come'}${alarm ? ' alarm' : ''}${i === 2 && s.look.slept > 0 ? ' slept' : ''}`;
    return svg`<path class=${kind} d=${arc(begin + 0.008, from - 0.008, 64)}></path>`;
  });
  const runs = [shares.slice(0, 5).reduce((a, b) => a + b) / whole, 8 / whole + shares[2] / whole - 1 / whole];
  const ticks = s.size > 1 && s.size <= 24 ? Array.from({ length: s.size - 1 }, (_, i) => runs[0] + ((i + 1) / s.size) * (3 / whole)) : [];
  return html`<svg class="ring" viewBox="0 0 160 160" role="img" aria-label=${`turn ${s.turn}, run ${s.run}`}>
    ${arcs}${ticks.map((at) => svg`<path class="tick" d=${tick(at)}></path>`)}
    <text x="80" y="60" class="small">turn</text><text x="80" y="92" class="large">${s.turn}</text><text x="80" y="111" class="small">${trace.loops.size > 1 ? `loop ${s.l} · ` : ''}run ${s.run}</text>
  </svg>`;
}

function arc(from, to, radius) {
  const at = (share) => {
    const angle = share * 2 * Math.PI - Math.PI / 2;
    return `${(80 + radius * Math.cos(angle)).toFixed(2)} ${(80 + radius * Math.sin(angle)).toFixed(2)}`;
  };
  return `M${at(from)}A${radius} ${radius} 0 ${to - from > 0.5 ? 1 : 0} 1 ${at(to)}`;
}

function tick(share) {
  const angle = share * 2 * Math.PI - Math.PI / 2;
  const at = (radius) => `${(80 + radius * Math.cos(angle)).toFixed(2)} ${(80 + radius * Math.sin(angle)).toFixed(2)}`;
  return `M${at(58)}L${at(70)}`;
}

// ---- the ready queue

/** The two boxes: the batch, and what waits after the divider. */
function queuePane(view) {
  const { s } = view;
  if (openQuestion()?.kind === 'order') return pane('queue', 'Ready queue', '', empty('hidden until the order is chosen'));
  const frozen = s.phase === 'freeze' || s.phase === 'run' || (s.phase === 'stop' && s.size > 0);
  if (!frozen) {
    const title = s.running ? 'Ready, not frozen yet' : s.run > 0 && s.ready.length > 0 ? 'Stays for the next run' : 'Ready, before a run';
    const box = s.ready.length === 0 ? empty('empty') : html`<div class=${s.running ? 'box open' : 'box divided'}><h3>${title}</h3>${chips(view, s.ready)}</div>`;
    return pane('queue', 'Ready queue', s.ready.length ? count(s.ready.length, 'entry', 'entries') : '', box);
  }
  const batch = [...s.ran, ...s.ready.slice(0, s.left)];
  const behind = s.ready.slice(s.left);
  const next = openQuestion() ? 'After the divider' : s.stopping || s.phase === 'stop' ? 'Waits for the next run' : 'Waits for the next turn';
  return pane('queue', 'Ready queue', `${s.left} left of ${s.size}`, html`
    <div class="box frozen"><h3>This turn’s batch <b>${s.size}</b></h3>${batch.length ? chips(view, batch, s.ran.length) : empty('empty')}</div>
    <div class="box divided"><h3>${next}${behind.length ? html` <b>${behind.length}</b>` : nothing}</h3>${behind.length ? chips(view, behind) : empty('nothing yet')}</div>`);
}

function chips(view, entries, ran = 0) {
  const shown = entries.length <= MANY ? entries : [...entries.slice(0, MANY - 3), null, ...entries.slice(-3)];
  const place = (entry) => entries.indexOf(entry);
  return html`<ol class="chips">${repeat(shown, (entry) => entry?.q ?? 'more', (entry) => (entry ? chip(view, entry, place(entry) < ran) : html`<li class="more">… ${entries.length - MANY} more …</li>`))}</ol>`;
}

function chip(view, entry, popped) {
  const { trace, loop, s, seen, forward, chosen } = view;
  const known = loop.entries[entry.q] ?? entry;
  const name = nameOf(trace, loop, { ...known, ...entry, own: known.own });
  const runs = popped && entry.q === s.current;
  const state = entry.cancelled ? 'cancelled' : runs ? 'running' : popped ? 'ran' : '';
  const fresh = forward && !seen.ready.has(entry.q) ? 'fresh' : '';
  return html`<li><button class="chip ${colourOf(trace, known)} ${state} ${fresh} ${entry.q === chosen ? 'chosen' : ''}" data-q=${entry.q}
    aria-pressed=${entry.q === chosen} data-act="choose" data-value=${entry.q}>
    ${icon(iconOf(known))}<span class=${name.includes('(') ? 'name code-name' : 'name'}>${name}</span><small>${tagOf(trace, known)}</small>${state ? html`<span class="unseen">, ${state}</span>` : nothing}</button></li>`;
}

function iconOf(entry) {
  if (entry.timer || entry.due !== undefined) return 'timer';
  if (entry.via === 'io') return 'io';
  if (entry.via === 'signal') return 'signal';
  if (entry.via === 'threadsafe') return 'thread';
  return { step: 'begin', wakeup: 'wake', donecb: 'done' }[entry.kind] ?? 'soon';
}

function tagOf(trace, entry) {
  if (entry.kind === 'step') return 'step';
  if (entry.kind === 'wakeup') return 'goes on';
  const place = trace.places.get(entry.src);
  return place && trace.files.has(place.file) ? `:${place.line}` : '';
}

/** Colour: which side acts. */
function colourOf(trace, entry) {
  if (entry.via === 'threadsafe') return 'thread';
  if (entry.via === 'io') return 'outside';
  return isOwn(trace, entry) ? 'loop' : 'code';
}

// ---- tasks, timers, the outside

function tasksPane(view) {
  const { s } = view;
  const rows = [...s.tasks, ...s.ended];
  if (rows.length === 0) return pane('tasks', 'Tasks', '', empty('no tasks'));
  const list = html`<ul class="rows">${repeat(rows.slice(0, ROWS), (task) => task.id, (task) => taskRow(view, task))}</ul>${rows.length > ROWS ? empty(`… ${rows.length - ROWS} more`) : nothing}`;
  return pane('tasks', 'Tasks', s.tasks.length > 4 ? `${s.tasks.length} live` : '', list);
}

function taskRow({ trace, loop, seen, forward, task: chosenTask }, task) {
  const [mark, words, colour] = taskState(trace, loop, task);
  return html`<li class=${forward && !seen.tasks.has(task) ? 'fresh' : ''}><button class="row ${task.id === chosenTask ? 'chosen' : ''}" data-act="task" data-value=${task.id}>
    <span class=${colour}>${icon(mark)}</span><span><b class=${task.state === 'done' ? 'over' : ''}>${taskName(loop, task.id)}</b> <span class="dim">${words}</span>
    ${task.asked && task.state !== 'done' ? html`<em class="tag">cancel asked for, not delivered yet</em>` : nothing}</span></button></li>`;
}

function taskState(trace, loop, task) {
  switch (task.state) {
    case 'running': return ['begin', 'running', 'code'];
    case 'queued': return task.queued === 'wakeup' ? ['wake', 'in the queue, to go on', 'code'] : ['soon', task.steps ? 'in the queue again' : 'in the queue', 'code'];
    case 'waiting': {
      const on = task.on[0];
      const facts = { kind: task.kind, other: on.task === undefined ? undefined : taskName(loop, on.task) };
      const place = trace.places.get(task.at);
      const others = task.on.length > 1 ? ` and ${task.on.length - 1} more` : '';
      return ['wait', `waits on ${part('waits', facts).replaceAll('`', '')}${others}${place ? ` at line ${place.line}` : ''}`, 'outside'];
    }
    default: return { ok: ['done', 'done', 'dim'], cancelled: ['cross', 'cancelled', 'alarm'], err: ['cross', 'failed', 'alarm'] }[task.st] ?? ['done', 'done', 'dim'];
  }
}

function timersPane(view) {
  const { trace, loop, s, event, seen, forward } = view;
  if (s.timers.length === 0) return pane('timers', 'Timers', '', empty('no timers'));
  return pane('timers', 'Timers', s.timers.length > 4 ? `${s.timers.length}` : '', html`<table>
    <thead><tr><th scope="col">due in</th><th scope="col">what</th><th scope="col">set by</th></tr></thead>
    <tbody>${s.timers.slice(0, ROWS).map((timer) => html`<tr class="${forward && !seen.timers.has(timer) ? 'fresh' : ''} ${timer.cancelled ? 'cancelled' : ''}">
      <td><b>${timer.when <= event.t ? 'now' : duration(timer.when - event.t)}</b></td>
      <td><span class="what">${handleName(trace, loop, timer.h)}</span>${timer.cancelled ? html`<em class="tag">cancelled, still on the heap</em>` : nothing}</td>
      <td class="dim">${timer.by === undefined ? 'the program' : nameOf(trace, loop, loop.entries[timer.by])}${lineTag(trace, timer.src)}</td></tr>`)}</tbody></table>
    ${s.timers.length > ROWS ? empty(`… ${s.timers.length - ROWS} more`) : nothing}`);
}

function lineTag(trace, src) {
  const place = trace.places.get(src);
  return place && trace.files.has(place.file) ? ` :${place.line}` : '';
}

function outsidePane(view) {
  const { trace, loop, s } = view;
  const rows = [
    ...s.signals.map((signal) => ['signal', signalName(signal.sig), `calls ${handleName(trace, loop, signal.h)}`, 'outside']),
    ...s.io.flatMap((io) => ['r', 'w'].filter((dir) => io[dir] !== undefined).map((dir) => ['io', `fd ${io.fd}`, `${dir === 'r' ? 'read' : 'write'}: ${handleName(trace, loop, io[dir])}`, 'outside'])),
    ...s.jobs.map((job) => ['thread', codeName(trace, job.cb, job.src), job.running ? `on ${job.thr}` : 'waits for a thread', 'thread']),
    ...s.over.map((job) => ['thread', codeName(trace, job.cb, job.src), { ok: 'done: ok', err: 'done: failed' }[job.st] ?? `did not run: ${job.st}`, 'dim']),
  ];
  if (rows.length === 0) return pane('outer', 'Outside and threads', '', empty('nothing is watched'));
  return pane('outer', 'Outside and threads', '', html`<ul class="rows">${rows.slice(0, ROWS).map(([mark, name, words, colour]) => html`<li><span class="row"><span class=${colour}>${icon(mark)}</span><span><b class=${name.includes('(') ? 'code-name' : ''}>${name}</b> <span class="dim">${words}</span></span></span></li>`)}</ul>`);
}

// ---- output

function outputPane(view) {
  const { trace, at } = view;
  const until = trace.outs.findLastIndex((i) => i <= at) + 1;
  if (until === 0) return pane('output', 'Output', '', empty(trace.outs.length === 0 && trace.events.length > 0 ? 'nothing printed' : 'nothing printed yet'));
  const rows = trace.outs.slice(Math.max(0, until - 200), until);
  return pane('output', 'Output', '', html`<ol class="printed">${repeat(rows, (i) => i, (i) => {
    const out = trace.events[i];
    const loop = trace.loops.get(out.l ?? 1);
    const turn = trace.turns[trace.turnOf[i]];
    return html`<li><button data-act="go" data-value=${i} class=${i === at ? 'now' : ''}><span class="dim">${out.by !== undefined && turn ? turn.n : ''}</span><code>${out.text.replace(/\n$/, '')}</code><small>${out.by === undefined ? '' : nameOf(trace, loop, loop.entries[out.by])}</small></button></li>`;
  })}</ol>`);
}
