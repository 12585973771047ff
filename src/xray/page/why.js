// Why did this run? The chain of causes of an entry, the nearest first, each with the event that shows it.
//
// It follows what the trace says, and guesses nothing.

const LONGEST_CHAIN = 40;

/** Returns the links of the chain: what to say, where it happened, and which side acted. */
function causesOf(trace, l, q) {
  const loop = trace.loops.get(l);
  const links = [];
  const first = loop.entries[q];
  if (!first) return links;
  const turn = first.run > (openQuestion()?.at ?? Infinity) ? undefined : trace.turns[trace.turnOf[first.run]];
  const facts = { first: true, x: nameOf(trace, loop, first) };
  if (turn) Object.assign(facts, { turn: turn.n, nth: turn.ran.indexOf(first) + 1, size: turn.ran.length });
  links.push({ text: part('why', facts), at: (turn ? first.run : undefined) ?? first.due ?? first.push, colour: colourOf(trace, first) });
  let entry = first;
  while (entry && links.length < LONGEST_CHAIN) {
    if (entry.due !== undefined) links.push({ text: part('why', { due: true }), at: entry.due, colour: 'loop' });
    const event = trace.events[entry.push];
    const by = event.by === undefined ? undefined : loop.entries[event.by];
    links.push({ text: part('why', causeFacts(trace, loop, entry, event, by)), at: entry.push, colour: by ? colourOf(trace, by) : colourOf(trace, entry) });
    entry = by;
  }
  return links;
}

function causeFacts(trace, loop, entry, event, by) {
  return {
    timer: event.e === 'timer', via: event.via, fd: event.fd, thr: event.thr,
    sig: event.sig === undefined ? undefined : signalName(event.sig),
    cause: causeName(trace, loop, event.cause)?.replace(/^T/, 't'),
    same: by?.task !== undefined && by.task === event.cause?.task, // a task that is done was done by itself
    self: event.kind === 'step' && by?.task !== undefined && by.task === event.task,
    by: by && nameOf(trace, loop, by),
    x: nameOf(trace, loop, entry),
  };
}

/** The entry that is asked about: the chosen one, the running one, or that of the event. */
function askedAbout({ chosen, s, event }) {
  return chosen ?? s.current ?? event.q;
}

function whyPane(view) {
  const { trace, s } = view;
  const q = askedAbout(view);
  const links = q === undefined || q === null ? [] : causesOf(trace, s.l, q);
  if (links.length === 0) return pane('why', 'Why did this run?', '', empty('Nothing runs at this moment. Choose a chip to ask about it.'));
  return pane('why', 'Why did this run?', '', html`<ol class="causes">${links.map((link, i) => html`<li class=${link.colour}><button data-act="go" data-value=${link.at}>
    <span>${i > 0 ? html`<span class="dim">because</span> ` : nothing}${withNames(link.text)}</span><small>${turnWords(trace, link.at)}</small></button></li>`)}</ol>`);
}

/** Names the turn of an event, for a link to it. */
function turnWords(trace, at) {
  const turn = trace.turns[trace.turnOf[at]];
  return turn && at >= turn.first ? `turn ${turn.n}` : 'before';
}
