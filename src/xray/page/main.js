// The page's state, and everything that changes it: keys, buttons, the strip, the link.
//
// State is in one place, and the view is drawn from it. Handlers read the state of now, never a copy that was
// captured when the view was drawn: two quick presses of a key are two steps.

const UNITS = ['event', 'callback', 'turn', 'run'];
const PLAY = 1100; // milliseconds between two steps

const traces = [];
const page = {
  trace: 0, at: 0, unit: 'callback', chosen: null, task: null, theme: '', playing: 0,
  dialog: '', // 'search' or 'keys'
  view: '', // 'predict' or 'compare'
  question: 0, answers: new Map(), tapped: [], // Predict
  sides: [], only: false, // Compare
  query: '', forward: false, near: false, seen: { ready: new Set(), tasks: new Set(), timers: new Set() },
};

function addTrace(text, name) {
  const trace = readTrace(text, name);
  if (trace.events.length === 0) return false;
  trace.replay = new Replay(trace);
  Object.defineProperty(trace, 'questions', { get: () => (trace.asked ??= questionsOf(trace)) });
  trace.outs = [...trace.events.keys()].filter((i) => trace.events[i].e === 'out');
  const program = trace.meta.prog ?? name;
  trace.mainFile = [...trace.files.keys()].find((file) => /[^/]*$/.exec(file)[0].replace(/\.\w+$/, '') === program) ?? [...trace.files.keys()][0];
  trace.stops = stopsOf(trace);
  Object.assign(trace, titleOf(trace, program));
  traces.push(trace);
  return true;
}

/** The events at which each unit of stepping stops. */
function stopsOf({ events }) {
  const stops = { event: [...events.keys()], callback: [], turn: [], run: [] };
  events.forEach((event, i) => {
    const life = event.e === 'loop';
    if (life) stops.run.push(i);
    if (life || event.e === 'turn') stops.turn.push(i);
    const slept = event.e === 'polled' && events[i - 1]?.to !== 0;
    // Of a task's step, the `step` line after `run` says more.
    const stepped = event.e === 'run' && events[i + 1]?.e === 'step';
    if (life || slept || event.e === 'turn' || event.e === 'batch' || event.e === 'skip' || event.e === 'step' || (event.e === 'run' && !stepped)) stops.callback.push(i);
  });
  for (const unit of UNITS) {
    if (stops[unit][0] !== 0) stops[unit].unshift(0);
    if (stops[unit].at(-1) !== events.length - 1) stops[unit].push(events.length - 1);
  }
  return stops;
}

/** A lesson's title is the first line of the text at the head of its source. */
function titleOf(trace, program) {
  const text = trace.files.get(trace.mainFile) ?? '';
  const head = /^(?:#!.*\n)?(?:\/\/!.*\n)+/.exec(text)?.[0].replace(/^\/\/! ?/gm, '') ?? /^(?:#.*\n)*\s*"""([^]*?)"""/.exec(text)?.[1] ?? '';
  const [first, ...rest] = head.trim().split('\n');
  const number = /^(\d\d)_/.exec(program)?.[1];
  const title = first ? first.replace(/^# /, '').replace(/[.:]$/, '') : program.replaceAll('_', ' ');
  return { title: number && first ? `${number} ${title}` : title, about: rest.join('\n').trim() };
}

// ---- moving

function go(at, near = false) {
  // While a question is open, what comes after its moment stays hidden.
  const last = openQuestion()?.at ?? traces[page.trace].events.length - 1;
  const to = Math.max(0, Math.min(last, at));
  page.forward = to > page.at;
  page.near = near;
  page.at = to;
  draw();
}

function step(direction, unit = page.unit) {
  const stops = traces[page.trace].stops[unit];
  page.chosen = null;
  const to = direction > 0 ? stops.find((i) => i > page.at) : stops.findLast((i) => i < page.at);
  if (to === undefined || to > (openQuestion()?.at ?? to)) stopPlaying();
  else go(to, true);
}

function play() {
  if (page.playing) return stopPlaying();
  page.playing = setInterval(() => step(1), PLAY);
  draw();
}

function stopPlaying() {
  clearInterval(page.playing);
  page.playing = 0;
  draw();
}

/** Goes to the next or previous event that holds `test`. */
function seek(direction, test) {
  const { events } = traces[page.trace];
  for (let i = page.at + direction; i >= 0 && i < events.length; i += direction) {
    if (test(events[i])) return i > (openQuestion()?.at ?? i) ? undefined : go(i);
  }
}

function toggle(dialog) {
  page.dialog = page.dialog === dialog ? '' : dialog;
  draw();
  if (page.dialog) document.querySelector('.dialog input, .dialog button')?.focus();
  else document.querySelector(`[data-act="${dialog}"]`)?.focus();
}

function isDark() {
  return page.theme ? page.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

const ACTIONS = {
  ...PREDICT,
  ...COMPARE,
  first: () => go(0),
  last: () => go(Infinity),
  back: () => step(-1),
  next: () => step(1),
  turnBack: () => step(-1, 'turn'),
  turnNext: () => step(1, 'turn'),
  eventBack: () => step(-1, 'event'),
  eventNext: () => step(1, 'event'),
  runBack: () => step(-1, 'run'),
  runNext: () => step(1, 'run'),
  play,
  unit: (value) => {
    page.unit = value ?? UNITS[(UNITS.indexOf(page.unit) + 1) % UNITS.length];
    draw();
  },
  outputBack: () => seek(-1, (event) => event.e === 'out'),
  outputNext: () => seek(1, (event) => event.e === 'out'),
  taskBack: () => seek(-1, isStepOfChosen),
  taskNext: () => seek(1, isStepOfChosen),
  why: () => {
    const first = document.querySelector('.causes button') ?? document.querySelector('.chip');
    first?.scrollIntoView({ block: 'nearest' });
    first?.focus();
  },
  search: () => toggle('search'),
  keys: () => toggle('keys'),
  close: () => {
    if (page.dialog) toggle(page.dialog);
    else if (page.view === 'compare') ACTIONS.compare();
    else if (page.view === 'predict') ACTIONS.predict();
  },
  theme: () => {
    page.theme = isDark() ? 'light' : 'dark';
    draw();
  },
  choose: (value) => {
    page.chosen = page.chosen === Number(value) ? null : Number(value);
    draw();
  },
  task: (value) => {
    page.task = page.task === Number(value) ? null : Number(value);
    draw();
  },
  go: (value) => {
    page.chosen = null;
    go(Number(value));
  },
  found: (value) => {
    page.dialog = '';
    go(Number(value));
  },
  trace: (value) => {
    Object.assign(page, { trace: Number(value), at: 0, chosen: null, task: null });
    if (page.view === 'predict') toQuestion(0, true);
    else draw();
  },
};

/** The chosen task; without one, the task of this moment. */
function isStepOfChosen(event) {
  const now = traces[page.trace].events[page.at];
  return event.e === 'step' && (page.task === null ? now.task === undefined || event.task === now.task : event.task === page.task);
}

// Each key has a button, or is listed with one in the dialog of keys.
const KEYS = [
  [['ArrowRight'], 'next', '→', 'step forward'], [['ArrowLeft'], 'back', '←', 'step back'],
  [['Shift+ArrowRight'], 'turnNext', '⇧ →', 'next turn'], [['Shift+ArrowLeft'], 'turnBack', '⇧ ←', 'previous turn'],
  [['.'], 'eventNext', '.', 'next event'], [[','], 'eventBack', ',', 'previous event'],
  [[']'], 'runNext', ']', 'next begin or end of a run'], [['['], 'runBack', '[', 'previous begin or end of a run'],
  [['Home'], 'first', 'Home', 'to the beginning'], [['End'], 'last', 'End', 'to the end'],
  [[' '], 'play', 'Space', 'play or pause'], [['g'], 'unit', 'g', 'step by another unit'],
  [['n'], 'taskNext', 'n', 'next step of the chosen task'], [['N'], 'taskBack', 'N', 'its previous step'],
  [['o'], 'outputNext', 'o', 'next output'], [['O'], 'outputBack', 'O', 'previous output'],
  [['w'], 'why', 'w', 'why did this run?'], [['/'], 'search', '/', 'search'], [['p'], 'predict', 'p', 'predict what happens'],
  [['Enter'], 'nextQuestion', 'Enter', 'next question'], [['d'], 'compare', 'd', 'compare two runs'], [['t'], 'theme', 't', 'light or dark'], [['?'], 'keys', '?', 'keys and colours'], [['Escape'], 'close', 'Esc', 'close'],
];

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target.closest?.('input, textarea, select, [contenteditable]');
  if (typing && event.key !== 'Escape') return;
  const button = event.target.closest?.('button, summary');
  if (event.key === ' ' && button) return; // Space presses the button that has the focus
  const name = `${event.shiftKey && event.key.startsWith('Arrow') ? 'Shift+' : ''}${event.key}`;
  if (page.view === 'predict' && !page.dialog && /^[1-9]$/.test(name)) return ACTIONS.answer(Number(name) - 1);
  if (name === 'Enter' && button) return; // Enter presses it, too
  const known = KEYS.find(([keys]) => keys.includes(name));
  if (!known || (page.dialog && !['close', 'keys'].includes(known[1]))) return;
  if (page.view === 'compare' && !['close', 'keys', 'compare', 'theme'].includes(known[1])) return;
  event.preventDefault();
  ACTIONS[known[1]]();
}

function onClick(event) {
  const button = event.target.closest('[data-act]');
  if (button?.closest('.keys') && !/close|keys/.test(button.dataset.act)) page.dialog = ''; // those close it themselves
  if (button) ACTIONS[button.dataset.act](button.dataset.value);
  else if (event.target.classList.contains('veil')) ACTIONS.close();
}

function scrub(event) {
  const canvas = event.currentTarget.querySelector('canvas');
  if (event.type === 'pointerdown') event.currentTarget.setPointerCapture(event.pointerId);
  else if (event.buttons === 0) return;
  page.chosen = null;
  go(traces[page.trace].turns[turnAt(canvas, event)]?.first ?? 0);
}

// ---- the link

function readLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (link.has(name) ? Number(link.get(name)) : undefined);
  if (traces[number('trace') - 1]) page.trace = number('trace') - 1;
  if (UNITS.includes(link.get('step'))) page.unit = link.get('step');
  if (['light', 'dark'].includes(link.get('theme'))) page.theme = link.get('theme');
  const { events, turns } = traces[page.trace];
  let at;
  if (link.has('s')) at = events.findIndex((event) => event.s >= number('s'));
  else if (link.has('turn')) at = turns.find((turn) => turn.n === number('turn') && turn.l === (number('loop') ?? 1) && turn.run === (number('run') ?? turn.run))?.first;
  page.at = at === undefined || at < 0 ? 0 : at;
  if (link.get('view') === 'compare') openCompare();
  if (link.get('view') === 'predict' && page.view !== 'predict') {
    page.view = 'predict';
    toQuestion(0, true);
  }
  page.forward = false;
}

let linkTimer;

/** Keeps the link up to date. Browsers refuse too many changes, so it waits for a pause. */
function writeLink() {
  clearTimeout(linkTimer);
  linkTimer = setTimeout(() => {
    const link = new URLSearchParams({ s: traces[page.trace].events[page.at].s, step: page.unit });
    if (page.trace > 0) link.set('trace', page.trace + 1);
    if (page.theme) link.set('theme', page.theme);
    if (page.view) link.set('view', page.view);
    try {
      history.replaceState(null, '', `#${link}`);
    } catch {
      // A page without an address.
    }
  }, 150);
}

// ---- drawing

/** What the panes need of this moment. */
function viewOfNow() {
  const trace = traces[page.trace];
  const event = trace.events[page.at];
  const loops = trace.replay.at(page.at);
  const s = loops.get(event.l ?? 1);
  return { ...page, hides: openQuestion() !== undefined, trace, event, s, loop: trace.loops.get(s.l), turn: currentTurn(page.at, trace), sentence: sentenceAt(trace, loops, page.at) };
}

function draw() {
  if (traces.length === 0) return render(nothingToShow(), document.getElementById('page'));
  const view = viewOfNow();
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
  document.title = `${view.trace.title} · X-ray`;
  const places = view.near && !matchMedia('(prefers-reduced-motion: reduce)').matches ? chipPlaces() : undefined;
  const question = openQuestion();
  render(frame(view), document.getElementById('page'));
  // Tab stays inside of a dialog.
  for (const behind of document.querySelectorAll('#page > :not(.veil)')) behind.inert = page.dialog !== '';
  if (places) moveChips(places);
  const canvas = document.querySelector('.strip canvas');
  if (canvas) drawStrip(canvas, view);
  showLine();
  document.getElementById('live').textContent = (question?.text ?? `Turn ${view.s.turn}. ${part('who', view.sentence)}: ${view.sentence.say}`).replaceAll('`', '');
  page.seen = { ready: new Set([...view.s.ready, ...view.s.ran].map((entry) => entry.q)), tasks: new Set([...view.s.tasks, ...view.s.ended]), timers: new Set(view.s.timers) };
  page.near = false;
  writeLink();
}

function chipPlaces() {
  return new Map([...document.querySelectorAll('.chip[data-q]')].map((chip) => [chip.dataset.q, chip.getBoundingClientRect()]));
}

/** Lets a chip that stays move to its new place, and a new one fade in. */
function moveChips(places) {
  for (const chip of document.querySelectorAll('.chip[data-q]')) {
    const [old, now] = [places.get(chip.dataset.q), chip.getBoundingClientRect()];
    if (!old) chip.animate([{ opacity: 0 }, { opacity: 1 }], 160);
    else if (old.x !== now.x || old.y !== now.y) {
      chip.animate([{ transform: `translate(${old.x - now.x}px, ${old.y - now.y}px)` }, { transform: 'none' }], { duration: 190, easing: 'ease-out' });
    }
  }
}

/** Scrolls the source inside its pane until the line of this moment can be seen, and the output to its end. */
function showLine() {
  const code = document.querySelector('.source .listing');
  const line = code?.querySelector('.here') ?? code?.querySelector('.body');
  if (line) {
    const above = line.offsetTop - code.scrollTop;
    if (above < 24 || above > code.clientHeight - 90) code.scrollTop += above - code.clientHeight / 4;
  }
  const printed = document.querySelector('.printed');
  if (printed) printed.scrollTop = printed.scrollHeight;
}

function nothingToShow() {
  return html`<main class="nothing"><h1>X-ray of an event loop</h1><p>This page holds no trace. Drop a <code>.jsonl</code> file here.</p></main>`;
}

function frame(view) {
  return html`${header(view)}
    ${page.view === 'compare' ? compareView() : xrayView(view)}
    ${page.dialog === 'search' ? searchDialog(view) : page.dialog === 'keys' ? keysDialog() : nothing}`;
}

function xrayView(view) {
  return html`<main>
      ${stripPane(view)}
      ${page.view === 'predict' ? questionCard(view) : html`<div class="saying"><span class="pill ${view.sentence.who}">${part('who', view.sentence)}</span><p class="sentence">${withNames(view.sentence.say)}</p></div>`}
      ${steppingBar(view)}
      <div class="panes">
        <div class="left">${turnPane(view)}${queuePane(view)}${tasksPane(view)}${timersPane(view)}${outsidePane(view)}${lanesPane(view)}</div>
        <div class="right">${sourcePane(view)}${outputPane(view)}${whyPane(view)}</div>
      </div>
    </main>`;
}

function header({ trace }) {
  const runs = new Set(trace.turns.map((turn) => `${turn.l}.${turn.run}`)).size;
  const facts = [trace.meta.rt, trace.meta.clock === 'virtual' ? 'virtual time' : 'real time', count(trace.turns.length, 'turn', 'turns')];
  if (trace.loops.size > 1) facts.push(`${trace.loops.size} loops`);
  if (runs > 1) facts.push(`${runs} runs`);
  if (trace.cut) facts.push('cut off');
  return html`<header>
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><circle cx="16" cy="16" r="12"></circle><path d="M16 4a12 12 0 0 1 12 12"></path></svg>
    <div class="title"><h1>${trace.title}</h1><p>${facts.filter(Boolean).join(' · ')}</p></div>
    <div class="tools">
      ${traces.length > 1 && page.view !== 'compare' ? html`<div class="choice" role="group" aria-label="trace">${traces.map((other, i) => html`<button data-act="trace" data-value=${i} aria-pressed=${i === page.trace}>${other.name}</button>`)}</div>` : nothing}
      ${modeButton('predict', 'Predict', 'Predict what happens (p)')}${modeButton('compare', 'Compare', 'Compare two runs (d)')}
      ${tool('search', 'Search (/)', icon('search'))}${tool('theme', 'Light or dark (t)', icon('theme'))}${tool('keys', 'Keys and colours (?)', '?')}
    </div>
  </header>
  ${trace.about ? html`<details class="about"><summary>What this program shows</summary>${trace.about.split('\n\n').map((text) => html`<p>${withNames(text)}</p>`)}</details>` : nothing}`;
}

function modeButton(act, words, label) {
  return html`<button class="step ${page.view === act ? 'main' : ''}" data-act=${act} aria-pressed=${page.view === act} title=${label}>${words}</button>`;
}

function tool(act, label, content, extra = '') {
  return html`<button class="tool ${extra}" data-act=${act} aria-label=${label} title=${label}>${content}</button>`;
}

function stripPane(view) {
  const { trace, turn } = view;
  const t = trace.turns[turn];
  return html`<div class="strip pane" role="slider" tabindex="0" aria-label="turns" aria-valuemin="1" aria-valuemax=${Math.max(1, trace.turns.length)}
    aria-valuenow=${turn + 1} aria-valuetext=${t ? `turn ${t.n}, loop ${t.l}, run ${t.run}` : 'no turns'} @pointerdown=${scrub} @pointermove=${scrub}><canvas></canvas></div>`;
}

function steppingBar(view) {
  const { trace, at, event } = view;
  return html`<div class="bar" role="toolbar" aria-label="stepping">
    ${tool('first', 'To the beginning (Home)', icon('first'))}${tool('turnBack', 'Previous turn (⇧ ←)', icon('fastBack'))}
    <button class="step" data-act="back">${icon('back')}<span>Back</span></button><button class="step main" data-act="next"><span>Step</span>${icon('next')}</button>
    ${tool('turnNext', 'Next turn (⇧ →)', icon('fastNext'))}${tool('play', page.playing ? 'Pause (Space)' : 'Play (Space)', icon(page.playing ? 'pause' : 'play'))}
    <div class="choice" role="group" aria-label="step by">${UNITS.map((unit) => html`<button data-act="unit" data-value=${unit} aria-pressed=${unit === page.unit}>${unit}</button>`)}</div>
    <p class="where"><span>event ${at + 1} of ${trace.events.length}</span><b>${duration(event.t)}</b></p>
  </div>`;
}

function searchDialog(view) {
  const found = search(view.trace, page.query, openQuestion()?.at);
  return html`<div class="veil"><div class="dialog" role="dialog" aria-modal="true" aria-label="Search">
    <input type="search" placeholder="a name, an output, turn 5, stop …" aria-label="Search" .value=${page.query} @input=${(event) => { page.query = event.target.value; draw(); }}
      @keydown=${(event) => { if (event.key === 'Enter' && found.length) ACTIONS.found(found[0].at); }}>
    ${page.query && found.length === 0 ? empty('nothing found') : html`<ol class="found">${found.map((hit) => html`<li><button data-act="found" data-value=${hit.at}><small>${hit.kind}</small><span>${hit.text}</span><small>${hit.turn === undefined ? 'outside a run' : `turn ${hit.turn}`}</small></button></li>`)}</ol>`}
  </div></div>`;
}

function keysDialog() {
  const colours = [['code', 'your code'], ['loop', 'the loop, and what the crate queues for itself'], ['outside', 'the kernel, signals, sockets'], ['thread', 'other threads'], ['alarm', 'stop, cancellation, errors']];
  return html`<div class="veil"><div class="dialog" role="dialog" aria-modal="true" aria-label="Keys and colours">
    <h2>Keys <button class="tool" data-act="close" aria-label="Close">${icon('cross')}</button></h2>
    <ul class="keys">${KEYS.map(([, act, key, words]) => html`<li><button data-act=${act}><kbd>${key}</kbd><span>${words}</span></button></li>`)}</ul>
    <h2>Colours say who acts</h2>
    <ul class="legend">${colours.map(([name, words]) => html`<li><i class=${name}></i>${words}</li>`)}</ul>
  </div></div>`;
}

// ---- beginning

function begin() {
  for (const script of document.querySelectorAll('script.trace')) {
    addTrace(script.textContent, script.dataset.name ?? `trace ${traces.length + 1}`);
  }
  if (traces.length > 0) readLink();
  draw();
  document.addEventListener('keydown', onKey);
  document.addEventListener('click', onClick);
  window.addEventListener('resize', draw);
  window.addEventListener('hashchange', () => { readLink(); draw(); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', onDrop);
}

async function onDrop(event) {
  event.preventDefault();
  for (const file of event.dataTransfer.files) {
    if (addTrace(await file.text(), file.name)) Object.assign(page, { trace: traces.length - 1, at: 0, chosen: null, task: null });
  }
  draw();
}

// For the console, and for the tests.
window.xray = { traces, page, go, addTrace, draw, Replay, sentenceAt, questionsOf, rowsOf, align, signOf };
document.addEventListener('DOMContentLoaded', begin);
