// Search: names, outputs, turns, kinds of events, signals and reports.

const FOUND = 40;

function search(trace, text, until = Infinity) {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return [];
  const found = [];
  for (let i = 0; i < trace.events.length && i <= until && found.length < FOUND; i++) {
    const hit = searchable(trace, trace.events[i]);
    if (hit && `${hit[0]} ${hit[1]}`.toLowerCase().includes(wanted)) found.push({ at: i, kind: hit[0], text: hit[1], turn: trace.turns[trace.turnOf[i]]?.n });
  }
  return found;
}

/** What can be found of an event: what it is, and its words. */
function searchable(trace, event) {
  const loop = trace.loops.get(event.l ?? 1);
  switch (event.e) {
    case 'out': return ['output', event.text.trim()];
    case 'turn': return ['turn', `turn ${event.n}`];
    case 'run': return ['runs', nameOf(trace, loop, loop.entries[event.q])];
    case 'skip': return ['skipped', nameOf(trace, loop, loop.entries[event.q])];
    case 'push': return ['queued', nameOf(trace, loop, loop.entries[event.q])];
    case 'timer': return ['timer', handleName(trace, loop, event.h)];
    case 'task': return ['task', taskName(loop, event.task)];
    case 'park': return ['waits', taskName(loop, event.task)];
    case 'creq': return ['cancel', taskName(loop, event.task)];
    case 'tdone': return ['task ends', taskName(loop, event.task)];
    case 'sig': return ['signal', signalName(event.sig)];
    case 'stop': return ['stop', 'stop flag'];
    case 'mark': return [event.kind === 'explore' ? 'disturbance' : 'report', event.name];
    case 'loop': return ['loop', { new: 'made', run: 'run begins', end: 'run ends', closed: 'closed' }[event.ev] ?? event.ev];
    case 'job': return ['job', codeName(trace, event.fn, event.src)];
    default: return undefined;
  }
}
