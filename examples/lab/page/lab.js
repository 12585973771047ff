// The lab's page: the book, a lesson in five steps, a chapter.
//
// State is in one place, and the view is drawn from it. Where one is stands in the link: `#/lesson/05/run`. Progress is
// kept in this browser. Nothing is asked of any other machine.

const STEPS = [['story', 'Story'], ['predict', 'Predict'], ['run', 'Run'], ['see', 'See'], ['fix', 'Fix']];
const LANGUAGES = [['rs', 'Rust'], ['py', 'Python']];
ICONS.copy = 'M6 6V3.5h6.5V10H10M3.5 6H10v6.5H3.5z';
const KEPT = 'looplab.lab';
const ENOUGH = 2; // questions that must be answered

const lab = {
  book: null, place: { kind: 'list' }, item: null, error: '',
  runs: {}, // 'rs/copy' → { out, doing, ended }
  seen: {}, // version → how often its X-ray has changed
  scores: { answered: 0, right: 0, of: 0 },
  answers: {}, // of the lesson's own questions
  language: 'py', theme: '', progress: {},
};

// ---- what is kept in the browser

function recall() {
  try {
    const { progress, theme, language } = JSON.parse(localStorage.getItem(KEPT) ?? '{}');
    Object.assign(lab, { progress: progress ?? {}, theme: theme ?? '', language: language === 'rs' ? 'rs' : 'py' });
  } catch {
    // Without storage, or with what another program has put there, one begins anew.
  }
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ progress: lab.progress, theme: lab.theme, language: lab.language }));
  } catch {
    // The progress then lasts as long as the page.
  }
}

function done(step) {
  const steps = (lab.progress[lab.item.number] ??= []);
  if (steps.includes(step)) return;
  steps.push(step);
  keep();
}

function isDone(number, step) {
  return lab.progress[number]?.includes(step) ?? false;
}

function isDark() {
  return lab.theme ? lab.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

// ---- asking the server

async function ask(path, method = 'GET') {
  const response = await fetch(path, { method });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

/** Sends a request whose answer comes line by line. */
async function askLines(path, online) {
  const response = await fetch(path, { method: 'POST' });
  if (!response.ok) throw new Error(await response.text());
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) online(JSON.parse(line));
  }
}

/** Runs a program of this lesson. A run that is under way is not begun again. */
async function run(language, version = 'copy') {
  const { number } = lab.item;
  const key = `${language}/${version}`;
  if (lab.runs[key]?.doing) return;
  const state = (lab.runs[key] = { out: '', doing: 'waiting', ended: null });
  await follow(state, `/run/${number}/${key}`, number);
  if (lab.item?.number !== number) return;
  if (state.ended.traced) lab.seen[version] = (lab.seen[version] ?? 0) + 1;
  else if (version === 'copy' && lab.place.step === 'see' && !state.ended.problem) done('see');
  if (version === 'copy' && !state.ended.problem) {
    done('run');
    if (state.ended.fix === '') done('fix');
  }
  say(verdictOf(state, language));
  draw();
}

async function runChapter() {
  const state = (lab.runs.chapter = { out: '', doing: 'waiting', ended: null });
  await follow(state, `/chapter/${lab.item.number}`, lab.item.number);
  if (!state.ended.problem && state.ended.same) done('run');
  say(verdictOf(state, 'rs'));
  draw();
}

async function follow(state, path, number) {
  draw();
  try {
    await askLines(path, (line) => {
      if (line.out) state.out += line.out;
      else if (line.doing) state.doing = line.doing;
      else state.ended = line;
      if (lab.item?.number === number) draw();
    });
    state.ended ??= { problem: 'was cut off: is the lab still running?' };
  } catch (error) {
    state.ended = { problem: error.message };
  }
  state.doing = '';
}

/** Asks again and again whether a copy was saved, and then runs it. */
async function watch(number) {
  while (lab.item?.number === number && lab.place.kind === 'lesson') {
    try {
      const { stamp } = await ask(`/wait/${number}/${lab.item.stamp}`);
      if (lab.item?.number !== number || lab.place.kind !== 'lesson') return;
      if (stamp !== lab.item.stamp) await changed(stamp);
    } catch {
      await new Promise((next) => setTimeout(next, 2000));
    }
  }
}

/** Runs each program whose copy was saved. */
async function changed(stamp) {
  const before = lab.item.stamp.split('.');
  const after = stamp.split('.');
  const fresh = await ask(`/lesson/${lab.item.number}`);
  Object.assign(lab.item, { stamp, programs: fresh.programs });
  await Promise.all(LANGUAGES.map(([ending], i) => before[i] !== after[i] && run(ending)));
}

// ---- the link

function placeOf(hash) {
  const [, kind, number, step] = hash.split('/');
  if (kind === 'lesson') return { kind, number, step: STEPS.some(([name]) => name === step) ? step : 'story' };
  if (kind === 'chapter') return { kind, number };
  return { kind: 'list' };
}

async function goTo() {
  const before = lab.place;
  const place = (lab.place = placeOf(location.hash));
  lab.error = '';
  if (place.kind === 'list') lab.item = null;
  else if (before.kind !== place.kind || lab.item?.number !== place.number) {
    Object.assign(lab, { item: null, runs: {}, seen: {}, answers: {}, scores: { answered: 0, right: 0, of: 0 } });
    draw();
    try {
      const item = await ask(`/${place.kind}/${place.number}`);
      if (lab.place !== place) return;
      lab.item = item;
      if (place.kind === 'lesson') watch(item.number);
    } catch (error) {
      lab.error = error.message;
    }
  }
  if (lab.item && place.step === 'story') done('story');
  if (lab.item && place.kind === 'chapter') done('story');
  draw();
  scrollTo(0, 0);
  document.getElementById('here')?.focus({ preventScroll: true });
  if (lab.item && place.step === 'predict' && !lab.runs['rs/lesson']) run('rs', 'lesson');
  if (lab.item && place.step === 'see' && !lab.seen.copy) await Promise.all(LANGUAGES.map(([ending]) => run(ending)));
}

function say(words) {
  document.getElementById('live').textContent = words;
}

// ---- what one can do

const ACTIONS = {
  run: (value) => run(value),
  runChapter,
  runAll: () => LANGUAGES.forEach(([ending]) => run(ending)),
  reset: async (value) => {
    await ask(`/reset/${lab.item.number}/${value}`, 'POST');
  },
  copy: (value) => navigator.clipboard?.writeText(value).then(() => say('copied'), () => {}),
  answer: (value) => {
    const [question, option] = value.split(' ').map(Number);
    lab.answers[question] = option;
    if (Object.keys(lab.answers).length >= ENOUGH) done('predict');
    draw();
  },
  language: (value) => {
    lab.language = value;
    keep();
    draw();
  },
  theme: () => {
    lab.theme = isDark() ? 'light' : 'dark';
    keep();
    draw();
  },
  step: (value) => {
    location.hash = `#/lesson/${lab.item.number}/${value}`;
  },
};

function onClick(event) {
  const button = event.target.closest('[data-act]');
  if (button) ACTIONS[button.dataset.act](button.dataset.value);
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.('input, textarea, select')) return;
  if (event.key === 't') return ACTIONS.theme();
  if (event.key === 'Escape' && lab.place.kind !== 'list') location.hash = '#/';
  if (lab.place.kind !== 'lesson' || !lab.item) return;
  const step = STEPS[Number(event.key) - 1];
  if (step) ACTIONS.step(step[0]);
  else if (event.key === 'r') ACTIONS.runAll();
}

// ---- drawing

function draw() {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
  const words = lab.item ? `${lab.item.number} ${plainText(lab.item.title)} · The lab` : 'The lab';
  if (document.title !== words) document.title = words;
  render(frame(), document.getElementById('page'));
  for (const pre of document.querySelectorAll('.live')) pre.scrollTop = pre.scrollHeight;
}

function frame() {
  return html`${head()}${lab.error ? html`<main class="nothing"><h1 id="here" tabindex="-1">There is nothing here</h1><p>${lab.error}</p><p><a href="#/">All lessons</a></p></main>` : body()}`;
}

function body() {
  if (lab.place.kind === 'list') return lab.book ? list() : nothing;
  if (!lab.item) return html`<main class="nothing"><p>…</p></main>`;
  return lab.place.kind === 'chapter' ? chapter() : lesson();
}

function head() {
  const { item } = lab;
  const title = item ? html`<h1 id="here" tabindex="-1"><span class="dim">${item.number}</span> ${withCode(item.title)}</h1>` : html`<h1 id="here" tabindex="-1">The lab</h1>`;
  const about = item ? html`<a href="#/">All lessons</a>${item.page ? ` · ${item.page}` : lab.place.kind === 'chapter' ? ' · Build the loop yourself' : ''}` : 'Read a program’s story, predict its run, run it, see it, mend it';
  return html`<header>
    <a href="#/" class="home" aria-label="All lessons"><svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><circle cx="16" cy="16" r="12"></circle><path d="M16 4a12 12 0 0 1 12 12"></path></svg></a>
    <div class="title">${title}<p>${about}</p></div>
    <div class="tools"><button class="tool" data-act="theme" aria-label="Light or dark (t)" title="Light or dark (t)">${icon('theme')}</button></div>
  </header>`;
}

/** Puts what stands between backticks in code's type. */
function withCode(text) {
  return text.split('`').map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));
}

function plainText(text) {
  return text.replaceAll('`', '');
}

function list() {
  const pages = new Map();
  for (const one of lab.book.lessons) {
    if (!pages.has(one.page)) pages.set(one.page, []);
    pages.get(one.page).push(one);
  }
  const all = lab.book.lessons;
  const solved = all.filter((one) => isDone(one.number, 'fix')).length;
  return html`<main class="book">
    <p class="lead">Each lesson is a small program on an event loop, in Rust and in Python, that does something surprising. ${lab.book.python ? `Python ${lab.book.python} answers here.` : 'No CPython of 3.11 or later answers here, so only Rust runs.'} <b>${solved} of ${all.length}</b> are mended.</p>
    ${[...pages].map(([page, lessons]) => html`<section aria-label=${page}><h2>${page}</h2><ol class="cards">${lessons.map(card)}</ol></section>`)}
    <section aria-label="Build the loop yourself"><h2>Build the loop yourself <small>ten programs that grow a loop from nothing</small></h2>
      <ol class="cards">${lab.book.chapters.map((one) => html`<li><a class="pane" href="#/chapter/${one.number}"><span class="number">${one.number}</span><span><b>${withCode(one.title)}</b></span></a></li>`)}</ol></section>
  </main>`;
}

function card(one) {
  const count = STEPS.filter(([step]) => isDone(one.number, step)).length;
  return html`<li><a class="pane" href="#/lesson/${one.number}/story"><span class="number">${one.number}</span>
    <span><b>${withCode(one.title)}</b><span class="dots" role="img" aria-label="${count} of 5 steps done">${STEPS.map(([step]) => html`<i class=${isDone(one.number, step) ? 'on' : ''}></i>`)}</span></span></a></li>`;
}

function chapter() {
  const { item } = lab;
  const state = lab.runs.chapter;
  return html`<main class="reading">
    <section class="pane prose" .innerHTML=${item.story} aria-label="Chapter"></section>
    <div class="beside">
      <section class="pane"><h2>Run</h2><p class="row-of"><button class="step main" data-act="runChapter" ?disabled=${Boolean(state?.doing)}>Run the chapter</button></p>${outcome(state, 'rs')}${transcript()}</section>
      <section class="pane prose"><h2>Practice</h2><p>An exercise is this chapter with the body of one function taken out. In a terminal:</p>
        <pre tabindex="0"><code>cargo run --example tour practice
cargo run --example tour practice watch
cargo run --example tour practice list</code></pre><p>The first shows the next exercise, the second runs it on each save. <code>hint</code> and <code>solution</code> help.</p></section>
    </div>
  </main>`;
}

function lesson() {
  const { item, place } = lab;
  const at = STEPS.findIndex(([name]) => name === place.step);
  const [before, after] = [STEPS[at - 1], STEPS[at + 1]];
  const numbers = lab.book.lessons.map((one) => one.number);
  const next = numbers[numbers.indexOf(item.number) + 1];
  return html`<nav aria-label="steps"><ol class="steps">${STEPS.map(([name, words], i) => html`<li><a href="#/lesson/${item.number}/${name}" aria-current=${name === place.step ? 'step' : nothing} class=${isDone(item.number, name) ? 'over' : ''}>
      <i>${isDone(item.number, name) ? icon('done') : i + 1}</i>${words}<span class="unseen">${isDone(item.number, name) ? ', done' : ''}</span></a></li>`)}</ol></nav>
    <main class="of-step">${{ story, predict, run: runStep, see, fix }[place.step]()}</main>
    <footer class="row-of">${before ? html`<a class="step" href="#/lesson/${item.number}/${before[0]}">${icon('back')}${before[1]}</a>` : nothing}
      ${after ? html`<a class="step main" href="#/lesson/${item.number}/${after[0]}">${after[1]}${icon('next')}</a>` : next ? html`<a class="step main" href="#/lesson/${next}/story">Lesson ${next}${icon('next')}</a>` : nothing}</footer>`;
}

function story() {
  return html`<div class="reading"><section class="pane prose" .innerHTML=${lab.item.story} aria-label="Story"></section>
    <div class="beside">${sourcePane()}</div></div>`;
}

/** The program's text, in one of the two languages. */
function sourcePane() {
  const { programs } = lab.item;
  return html`<section class="pane source-text" aria-label="Program"><h2>Program ${languages()}</h2>
    <pre class="listing" tabindex="0"><code>${coloured(programs[lab.language].text, lab.language)}</code></pre></section>`;
}

function languages() {
  return html`<span class="choice" role="group" aria-label="language">${LANGUAGES.map(([ending, name]) => html`<button data-act="language" data-value=${ending} aria-pressed=${lab.language === ending}>${name}</button>`)}</span>`;
}

const WORDS = {
  rs: 'as|async|await|break|const|continue|crate|else|enum|false|fn|for|if|impl|in|let|loop|match|mod|move|mut|pub|ref|return|self|Self|static|struct|super|trait|true|type|use|where|while',
  py: 'and|as|assert|async|await|break|class|continue|def|del|elif|else|except|False|finally|for|from|global|if|import|in|is|lambda|None|nonlocal|not|or|pass|raise|return|True|try|while|with|yield',
};
const tokens = (words, remark) => new RegExp(`(${remark}.*|"""[^]*?""")|("(?:[^"\\\\\\n]|\\\\.)*"|'(?:[^'\\\\\\n]|\\\\.)')|\\b(${words})\\b|\\b(\\d[\\d_]*(?:\\.\\d+)?)\\b|\\b([A-Za-z_]\\w*!?)(?=\\()`, 'g');
const TOKENS = { rs: tokens(WORDS.rs, '//'), py: tokens(WORDS.py, '#') };
const TOKEN_CLASSES = ['remark', 'string', 'word', 'number', 'call'];

function coloured(text, language) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(TOKENS[language])) {
    const kind = TOKEN_CLASSES[found.slice(1).findIndex((part) => part !== undefined)];
    parts.push(text.slice(from, found.index), html`<span class=${kind}>${found[0]}</span>`);
    from = found.index + found[0].length;
  }
  return [...parts, text.slice(from)];
}

function predict() {
  const { answered, right, of } = lab.scores;
  const state = lab.runs['rs/lesson'];
  const own = lab.item.exercise?.questions ?? [];
  if (own.length) return html`<p class="note">This program makes no loop, so no trace can ask. The answers are in its transcript.</p>${own.map(ownQuestion)}`;
  const words = of ? `${answered} of ${of} answered, ${right} right.` : '';
  return html`<p class="note">The run below has happened already, but what comes is hidden. Say what will happen: the trace grades it. ${of && of < ENOUGH ? '' : `${ENOUGH} answers are enough to go on.`} <b>${words}</b></p>
    ${xrayFrame('lesson', 'view=predict', state)}`;
}

/** A question of a lesson that makes no loop. */
function ownQuestion(question, i) {
  const chosen = lab.answers[i];
  const state = (n) => (chosen === undefined ? '' : n === question.right ? 'hit' : n === chosen ? 'miss' : 'other');
  return html`<section class="card pane ${chosen === undefined ? '' : chosen === question.right ? 'good' : 'bad'}" aria-label="Question ${i + 1}">
    <p class="question">${withCode(question.text)}</p>
    <div class="options">${question.options.map((text, n) => html`<button class="option ${state(n)}" ?disabled=${chosen !== undefined} data-act="answer" data-value="${i} ${n}"><kbd>${n + 1}</kbd><span>${withCode(text)}</span></button>`)}</div>
    ${chosen === undefined ? nothing : html`<div class="answer"><p><b>${chosen === question.right ? 'Right.' : 'Not so.'}</b> ${withCode(question.why)}</p></div>`}
  </section>`;
}

function runStep() {
  return html`<p class="note">The programs below are copies for you to edit, in an editor of your own. Each save runs the program again, here and in the next two steps. <kbd>r</kbd> runs both.</p>
    <div class="two">${LANGUAGES.map(([ending, name]) => runPane(ending, name))}</div>
    <section class="pane transcript">${transcript()}</section>`;
}

function runPane(ending, name) {
  const state = lab.runs[`${ending}/copy`];
  const program = lab.item.programs[ending];
  const edited = program.text !== program.copy;
  return html`<section class="pane run" aria-label=${name}><h2>${name} <small>${edited ? 'edited' : 'as in the lesson'}</small></h2>
    <p class="file"><code>${program.path}</code><button class="tool" data-act="copy" data-value=${program.path} aria-label="Copy the path of the ${name} program" title="Copy the path">${icon('copy')}</button></p>
    <p class="row-of"><button class="step main" data-act="run" data-value=${ending} ?disabled=${Boolean(state?.doing)}>${icon('play')}Run ${name}</button>
      ${edited ? html`<button class="step" data-act="reset" data-value=${ending}>Begin anew</button>` : nothing}</p>
    ${outcome(state, ending)}</section>`;
}

/** What a run has printed, and how it ended. */
function outcome(state, language) {
  if (!state) return nothing;
  const { ended } = state;
  const bad = ended && (ended.problem || (inFix() ? ended.fix !== '' : !ended.same));
  return html`<p class="verdict-line ${ended ? (bad ? 'alarm' : 'outside') : 'dim'}">${ended ? html`${icon(bad ? 'cross' : 'done')}${verdictOf(state, language)}` : `${state.doing} …`}</p>
    ${state.out || !ended?.stderr ? html`<pre class="live" tabindex="0" role="group" aria-label="output"><code>${state.out}</code></pre>` : nothing}
    ${ended?.stderr ? html`<pre class="live wrong" tabindex="0" role="group" aria-label="standard error"><code>${ended.stderr}</code></pre>` : nothing}`;
}

function inFix() {
  return lab.place.step === 'fix' && Boolean(lab.item.exercise);
}

function verdictOf({ ended }, language) {
  const name = ended.name ?? (language === 'rs' ? 'Rust' : 'Python');
  if (ended.problem) return `${name}: ${ended.problem}`;
  if (inFix()) return ended.fix === '' ? `Solved in ${name}.` : ended.fix;
  return ended.same ? `${name} prints what CPython printed` : `${name} prints something else than the transcript`;
}

function transcript() {
  return html`<h2>Transcript <small>what CPython printed</small></h2><pre tabindex="0" role="group" aria-label="transcript"><code>${lab.item.transcript}</code></pre>`;
}

function see() {
  const state = lab.runs['rs/copy']?.doing ? lab.runs['rs/copy'] : lab.runs['py/copy'];
  return html`<p class="note">The run of your copies, forward and back, at its first surprise. A save brings the new run to the same moment. <kbd>r</kbd> runs both again.</p>
    ${xrayFrame('copy', '', state)}`;
}

/** The X-ray page in a frame. It comes back at the same moment when its run is a new one. */
function xrayFrame(version, link, state) {
  const n = lab.seen[version];
  const { problem: failed, stderr } = state?.ended ?? {};
  if (!n && failed) return html`<section class="pane"><p class="alarm">${failed}</p>${stderr ? html`<pre class="wrong"><code>${stderr}</code></pre>` : nothing}</section>`;
  if (!n && state?.ended) return html`<p class="pane">This program makes no loop, so there is nothing to replay.</p>`;
  if (!n) return html`<p class="pane waiting">${state?.doing || 'waiting'} …</p>`;
  return html`${failed ? html`<p class="pane alarm">${failed}: the page shows the run before, if there was one.</p>` : nothing}
    ${keyedFrame(version, link, n)}`;
}

function keyedFrame(version, link, n) {
  const { number } = lab.item;
  const key = `${number}/${version}/${n}`;
  // The address is made once for each run: another one would lead the frame elsewhere.
  addresses[key] ??= `/xray/${number}/${version}#${moments[`${number}/${version}`] ?? link}&theme=${isDark() ? 'dark' : 'light'}`;
  return repeat([key], (one) => one, () => html`<iframe class="xray" title="X-ray of the run" data-version=${version} src=${addresses[key]} @load=${onFrame}></iframe>`);
}

const moments = {}; // number/version → the link of the moment that was last shown
const addresses = {}; // number/version/run → the frame's address

/** The X-ray page is of this origin, so its state can be read: its score, its moment, its keys. */
function onFrame(event) {
  const frame = event.target;
  const inside = frame.contentWindow;
  const { version } = frame.dataset;
  if (!inside.xray) return; // the answer was no page
  const key = `${lab.item.number}/${version}`;
  if (version === 'copy') {
    done('see');
    if (!moments[key]) toSurprise(inside.xray);
  }
  const look = () => {
    if (version === 'copy') {
      const link = new URLSearchParams(inside.location.hash.slice(1));
      link.delete('theme');
      moments[key] = String(link);
      return;
    }
    score(inside.xray);
  };
  for (const kind of ['click', 'keyup']) inside.document.addEventListener(kind, () => setTimeout(look, 200));
  look();
  draw();
}

/** Goes to where the question stands that teaches most. */
function toSurprise({ traces: [trace], go }) {
  const best = trace.questions.reduce((best, one) => (best && best.worth >= one.worth ? best : one), undefined);
  if (best) go(best.at);
}

function score({ traces: [trace], page }) {
  const isRight = ([i, answer]) => String(trace.questions[i].right) === String(answer);
  const answers = [...page.answers];
  const of = trace.questions.length;
  if (answers.length < lab.scores.answered) return; // begun anew
  lab.scores = { answered: answers.length, right: answers.filter(isRight).length, of };
  if (answers.length >= Math.min(ENOUGH, of)) done('predict');
  draw();
}

function fix() {
  const { exercise } = lab.item;
  if (!exercise) return html`<section class="pane"><h2>No exercise</h2><p>This lesson has none yet. Change a copy, and see what becomes of its run.</p></section>`;
  return html`<section class="pane task prose" aria-label="Exercise"><h2>Exercise</h2><div .innerHTML=${exercise.task}></div>
      <p>Mend one of the two programs. It is solved when the program prints these lines, in this order${exercise.never.length ? ', and not those that are struck out' : ''}:</p>
      ${wantedLines(exercise)}
      <details><summary>A hint</summary><div .innerHTML=${exercise.hint}></div></details>
      ${LANGUAGES.map(([ending, name]) => exercise.solutions[ending] ? html`<details><summary>A solution in ${name}</summary><pre tabindex="0" class="change"><code>${exercise.solutions[ending].split('\n').map((line) => html`<span class=${line[0] === '+' ? 'in' : 'out'}>${line}
</span>`)}</code></pre></details>` : nothing)}
    </section>
    <div class="two">${LANGUAGES.map(([ending, name]) => runPane(ending, name))}</div>`;
}

/** Which lines of the exercise a run has printed as they are wanted: in their order, or not at all. */
function marksOf({ want, never }, printed) {
  const lines = printed.split('\n').map((line) => line.trim());
  let from = 0;
  const wanted = want.map((line) => {
    const at = from < 0 ? -1 : lines.indexOf(line, from);
    from = at + 1 || -1;
    return at >= 0;
  });
  return [...wanted, ...never.map((line) => !lines.includes(line))];
}

/** The lines of the exercise, marked for the run that comes nearest. */
function wantedLines(exercise) {
  const runs = LANGUAGES.map(([ending]) => lab.runs[`${ending}/copy`]).filter((state) => state?.ended);
  const good = (marks) => marks.filter(Boolean).length;
  const best = runs.map((state) => marksOf(exercise, state.out)).reduce((best, marks) => (best && good(best) >= good(marks) ? best : marks), undefined);
  return html`<ul class="wanted">${[...exercise.want, ...exercise.never].map((line, i) => html`<li class=${best ? (best[i] ? 'outside' : 'alarm') : 'dim'}>${best ? icon(best[i] ? 'done' : 'cross') : html`<i></i>`}<code class=${i < exercise.want.length ? '' : 'never'}>${line}</code></li>`)}</ul>`;
}

// ---- beginning

async function begin() {
  recall();
  draw();
  document.addEventListener('click', onClick);
  document.addEventListener('keydown', onKey);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  window.addEventListener('hashchange', goTo);
  try {
    lab.book = await ask('/book');
    await goTo();
  } catch (error) {
    lab.error = error.message;
    draw();
  }
}

begin();
