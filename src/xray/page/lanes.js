// Who woke whom: a column for each callback, a row for each task, and arrows from what queued to what ran.

const COLUMNS = 48; // of more callbacks a window around the current one is drawn
const LANES = 12;
const [LANE, COLUMN, LABELS] = [26, 30, 132];

function lanesPane(view) {
  const { trace, loop, at } = view;
  const calls = (loop.calls ??= trace.turns.flatMap((turn) => (turn.l === loop.l ? turn.ran.map((entry) => ({ entry, turn })) : [])));
  const hidden = openQuestion() !== undefined;
  const seen = hidden ? calls.filter(({ entry }) => entry.run <= at) : calls;
  if (seen.length === 0) return pane('lanes', 'Who woke whom', '', empty(hidden || calls.length === 0 ? 'nothing has run' : ''));
  const now = seen.findLastIndex(({ entry }) => entry.run <= at);
  const from = Math.max(0, Math.min(seen.length - COLUMNS, now - Math.floor(COLUMNS * 0.7)));
  const shown = seen.slice(from, from + COLUMNS);
  return pane('lanes', 'Who woke whom', shown.length < seen.length ? `${from + 1}–${from + shown.length} of ${seen.length} callbacks` : '', drawLanes(view, shown, seen[now]?.entry));
}

/** Names the row of an entry: its task, the loop itself, or the program's plain callbacks. */
function laneOf({ trace, loop }, entry) {
  if (entry.task !== undefined && (entry.kind === 'step' || entry.kind === 'wakeup')) return taskName(loop, entry.task);
  return isOwn(trace, entry) ? 'the loop’s own' : 'callbacks';
}

function drawLanes(view, shown, current) {
  const { loop, at, trace } = view;
  const names = [...new Set(shown.map(({ entry }) => laneOf(view, entry)))];
  const rank = (name) => (name === 'the loop’s own' ? 0 : name === 'callbacks' ? 1 : 2);
  names.sort((a, b) => rank(a) - rank(b));
  const row = (entry) => Math.min(names.indexOf(laneOf(view, entry)), LANES - 1);
  const chain = new Set();
  for (let entry = current; entry && !chain.has(entry); entry = loop.entries[entry.by]) chain.add(entry);
  const column = new Map(shown.map(({ entry }, i) => [entry, i]));
  const x = (entry) => LABELS + column.get(entry) * COLUMN + COLUMN / 2;
  const y = (entry) => 34 + row(entry) * LANE;
  const lanes = Math.min(names.length, LANES);
  const [width, height] = [LABELS + shown.length * COLUMN + 8, 30 + lanes * LANE];
  const label = current ? `${chain.size - 1} entries led to ${nameOf(trace, loop, current)}` : 'nothing runs';
  return html`<div class="lanes-body" tabindex="0" role="group" aria-label="callbacks in the order in which they ran"><svg viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${label}>
    ${names.slice(0, lanes).map((name, i) => svg`<path class="rail" d=${`M${LABELS - 6} ${34 + i * LANE}H${width}`}></path><text class="lane" x=${LABELS - 12} y=${38 + i * LANE}>${cutName(i === LANES - 1 && names.length > LANES ? 'other tasks' : name)}</text>`)}
    ${shown.map(({ turn }, i) => (i === 0 || shown[i - 1].turn !== turn ? svg`<path class="bound ${i > 0 && shown[i - 1].turn.run !== turn.run ? 'run' : ''}" d=${`M${LABELS + i * COLUMN} 4V${height}`}></path><text class="number" x=${LABELS + i * COLUMN + 4} y="14">${turn.n}</text>` : nothing))}
    ${shown.map(({ entry }) => {
      const by = loop.entries[entry.by];
      if (!by || !column.has(by)) return nothing;
      return svg`<path class="arrow ${chain.has(entry) && chain.has(by) ? 'bold' : ''} ${entry.run > at ? 'to-come' : ''}" d=${arrow(x(by), y(by), x(entry), y(entry))}></path>`;
    })}
    ${shown.map(({ entry }) => svg`<g class="call ${colourOf(trace, entry)} ${entry.run > at ? 'to-come' : ''} ${entry === current ? 'now' : ''}" data-act="go" data-value=${entry.run}><title>${nameOf(trace, loop, entry)}</title><rect x=${x(entry) - 10} y=${y(entry) - 8} width="20" height="16" rx="5"></rect></g>`)}
  </svg></div>`;
}

/** A line from one block to the next, with a point at its end. */
function arrow(x1, y1, x2, y2) {
  const end = x2 - 12;
  const bend = y1 === y2 && x2 - x1 > COLUMN * 1.5 ? 17 : 0;
  return `M${x1 + 10} ${y1}C${x1 + 20} ${y1 - bend} ${end - 14} ${y2 - bend} ${end} ${y2}m-4 -3l4 3l-4 3`;
}

function cutName(name) {
  return name.length > 18 ? `${name.slice(0, 17)}…` : name;
}
