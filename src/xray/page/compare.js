// Compare: two runs side by side, and where they part.

/** The sides that can be chosen: each trace with all its loops, and each of several loops. */
function sides() {
  return traces.flatMap((trace, t) => {
    const loops = [...trace.loops.keys()];
    const all = { t, l: 0, name: loops.length > 1 ? `${trace.name}, all loops` : trace.name };
    return loops.length > 1 ? [all, ...loops.map((l) => ({ t, l, name: `${trace.name}, loop ${l}` }))] : [all];
  });
}

/** Two traces are compared as they are; of one trace, its first two loops. */
function firstSides() {
  const all = sides();
  if (traces.length > 1) return [all.find((side) => side.t === page.trace), all.find((side) => side.t !== page.trace)].sort((a, b) => a.t - b.t);
  return all.length > 2 ? [all[1], all[2]] : [all[0], all[0]];
}

const aligned = new Map(); // two sides → their pairs

function pairsOf([a, b]) {
  const key = `${a.t}.${a.l}-${b.t}.${b.l}`;
  if (!aligned.has(key)) aligned.set(key, align(rowsOf(traces[a.t], a.l), rowsOf(traces[b.t], b.l)));
  return aligned.get(key);
}

function compareView() {
  const pairs = pairsOf(page.sides);
  const first = pairs.findIndex((pair) => signOf(pair) === '≠');
  const different = pairs.filter((pair) => signOf(pair) === '≠').length;
  const others = pairs.filter((pair) => signOf(pair) === '≈').length;
  const real = page.sides.some(({ t }) => traces[t].meta.clock !== 'virtual');
  const counts = `${count(pairs.length, 'callback', 'callbacks')}: ${pairs.length - different} the same in order and output${others ? `, ${others} of them in another turn` : ''}, ${different} on one side only.`;
  return html`<main class="compare">
    <h2 class="verdict">${first < 0 ? 'The two runs are the same' : `The first difference is in row ${first + 1}`}</h2>
    <p class="dim">${counts}${real ? ' A clock was real, so turns and timers may differ from one run to the next.' : ''}</p>
    <div class="bar">
      <button class="step" data-act="difference" ?disabled=${first < 0}>Go to the first difference</button>
      <label class="only"><input type="checkbox" .checked=${page.only} @change=${(event) => { page.only = event.target.checked; draw(); }}> only differences</label>
      <button class="step back" data-act="compare">Back to the X-ray</button>
    </div>
    <div class="pane pairs" role="table" aria-label="the callbacks of the two runs">
      <div class="pair sides" role="row">${sideChoice(0)}<span role="columnheader"><span class="unseen">compared</span></span>${sideChoice(1)}</div>
      ${pairRows(pairs, first)}
    </div>
  </main>`;
}

function sideChoice(which) {
  const label = ['left side', 'right side'][which];
  const chosen = page.sides[which];
  return html`<span role="columnheader"><select aria-label=${label} @change=${(event) => { page.sides[which] = sides()[event.target.selectedIndex]; draw(); }}>
    ${sides().map((side) => html`<option ?selected=${side.t === chosen.t && side.l === chosen.l}>${side.name}</option>`)}</select></span>`;
}

function pairRows(pairs, first) {
  let before = ['', ''];
  const shown = pairs.map((pair, i) => [pair, i]).filter(([pair]) => !page.only || signOf(pair) !== '=').slice(0, 1500);
  return shown.map(([pair, i]) => {
    const runs = pair.map((row, side) => (row ? `loop ${row.l}, run ${row.run}` : before[side]));
    const heading = runs.map((run, side) => (run === before[side] ? '' : run));
    before = runs;
    const sign = signOf(pair);
    return html`${heading.some(Boolean) ? html`<div class="pair runs" role="row">${heading.map((run, side) => html`<span role="cell" class=${side ? 'second' : ''}>${run}</span>`)}</div>` : nothing}
      <div class="pair ${sign === '≠' ? 'differs' : ''} ${i === first ? 'first' : ''}" role="row">
        ${pairCell(pair[0], 0)}<span role="cell" class="sign">${sign}</span>${pairCell(pair[1], 1)}
      </div>`;
  });
}

function pairCell(row, side) {
  if (!row) return html`<span role="cell" class="none"></span>`;
  const trace = traces[page.sides[side].t];
  const name = nameOf(trace, trace.loops.get(row.l), row.entry);
  return html`<span role="cell"><button data-act="goSide" data-value=${`${side}.${row.at}`}>
    <small>${row.turn}</small><span class=${colourOf(trace, row.entry)}>${icon(iconOf(row.entry))}</span><span class=${row.skipped ? 'over' : ''}>${name}${row.skipped ? ' (skipped)' : ''}</span></button>
    ${row.text ? html`<code class="said">${row.text.replace(/\n$/, '')}</code>` : nothing}</span>`;
}

const COMPARE = {
  compare: () => {
    if (page.view === 'compare') page.view = '';
    else openCompare();
    draw();
  },
  difference: () => document.querySelector('.pair.first')?.scrollIntoView({ block: 'center' }),
  goSide: (value) => {
    const [side, at] = value.split('.').map(Number);
    Object.assign(page, { trace: page.sides[side].t, view: '', chosen: null, task: null });
    go(at);
  },
};

function openCompare() {
  page.view = 'compare';
  page.dialog = '';
  if (page.sides.length === 0) page.sides = firstSides();
}
