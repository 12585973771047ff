// Predict: questions that the trace asks and answers. `questions.rs` makes the same.

const MOST_QUESTIONS = 12; // of a run

/** The questions of a trace, in the order of their moments. */
function questionsOf(trace) {
  const asked = new Set();
  const runs = new Map(); // run → kind of question → the questions
  for (let at = 0; at < trace.events.length; at++) {
    const make = ASK[trace.events[at].e];
    const question = trace.turnOf[at] >= 0 && make?.(trace, trace.events[at], at);
    if (!question || question.at < 0) continue;
    const turn = trace.turns[trace.turnOf[at]];
    const run = `${turn.l}.${turn.run}`;
    if (!runs.has(run)) runs.set(run, {});
    (runs.get(run)[question.kind] ??= []).push({ ...question, l: turn.l, turn: turn.n });
  }
  return [...runs.values()].flatMap((kinds) => chosenOf(kinds, asked)).sort((a, b) => a.at - b.at);
}

/** Takes of each kind in its turn, those that teach most first. No text and no moment is asked about twice. */
function chosenOf(kinds, asked) {
  const lists = Object.values(kinds).map((list) => list.sort((a, b) => b.worth - a.worth));
  const chosen = [];
  for (let round = 0; chosen.length < MOST_QUESTIONS && lists.some((list) => round < list.length); round++) {
    for (const list of lists) {
      const question = list[round];
      if (!question || chosen.length === MOST_QUESTIONS || asked.has(question.text) || asked.has(question.at)) continue;
      asked.add(question.text).add(question.at);
      chosen.push(question);
    }
  }
  return chosen;
}

const ASK = {
  push(trace, event, at) {
    const loop = trace.loops.get(event.l ?? 1);
    const [entry, by] = [loop.entries[event.q], loop.entries[event.by]];
    if (!by || (isOwn(trace, entry) && isOwn(trace, by))) return undefined;
    const here = trace.turns[trace.turnOf[at]];
    const skipped = trace.events[entry.run]?.e === 'skip';
    const there = entry.run === undefined || skipped ? undefined : trace.turns[trace.turnOf[entry.run]];
    const right = !there ? 3 : there === here ? 0 : there.run === here.run ? 1 : 2;
    const facts = { x: nameOf(trace, loop, entry), by: nameOf(trace, loop, by), same: entry.task !== undefined && by.task === entry.task, skipped };
    return asked('when', at, facts, right, entry.run ?? lastOf(trace, loop), (here.stop ? 4 : 0) + right, { q: event.q });
  },
  sel(trace, event, at) {
    if (event.why === 'ready' || event.why === 'cap' || event.to === 0 && event.why === 'timer') return undefined;
    const loop = trace.loops.get(event.l ?? 1);
    const begin = trace.turns[trace.turnOf[at]].first;
    const timer = trace.replay.at(begin).get(loop.l).timers.find((one) => !one.cancelled);
    const facts = { turn: trace.turns[trace.turnOf[at]].n };
    if (timer) Object.assign(facts, { x: handleName(trace, loop, timer.h), due: duration(Math.max(0, timer.when - event.t)) });
    const right = { stopping: 1, timer: 2, idle: 3 }[event.why];
    return asked('sleep', begin, facts, right, at, right === 1 ? 3 : trace.turnOf[at] % 2);
  },
  batch(trace, event, at) {
    const loop = trace.loops.get(event.l ?? 1);
    const entries = trace.replay.at(at).get(loop.l).ready.map((entry) => loop.entries[entry.q]);
    const names = entries.map((entry) => nameOf(trace, loop, entry));
    const turn = trace.turns[trace.turnOf[at]];
    if (names.length >= 3 && names.length <= 5 && new Set(names).size === names.length && turn.ran.length === names.length) {
      const options = [...names].sort();
      return asked('order', at - 1, { n: names.length, turn: turn.n }, names.map((name) => options.indexOf(name)), at, names.length, { options });
    }
    return printed(trace, loop, turn, at);
  },
  creq(trace, event, at) {
    const loop = trace.loops.get(event.l ?? 1);
    const now = trace.turns[trace.turnOf[at]];
    let felt = -1;
    for (let i = at + 1; i < trace.events.length && felt < 0; i++) {
      const next = trace.events[i];
      if ((next.l ?? 1) !== loop.l || next.task !== event.task) continue;
      if (next.e === 'tdone') break;
      if (next.e === 'step' && next.exc) felt = i;
    }
    if (felt >= 0 && trace.turns[trace.turnOf[felt]] === now) return undefined;
    const right = felt < 0 ? 2 : 1;
    return asked('cancel', at, { x: taskName(loop, event.task) }, right, felt < 0 ? lastOf(trace, loop) : felt, right, { task: event.task });
  },
};

/** What is printed next, among other lines of this run, later ones first. */
function printed(trace, loop, turn, at) {
  const line = (i) => short(trace.events[i].text.split('\n').find((text) => text.trim() !== '') ?? '');
  const outs = (loop.outs ??= trace.outs.filter((i) => (trace.events[i].l ?? 1) === loop.l && trace.events[i].by !== undefined && line(i)));
  const nth = outs.findIndex((i) => i > at);
  const next = outs[nth];
  if (next === undefined || trace.turns[trace.turnOf[next]] !== turn) return undefined;
  const options = [];
  for (const i of [...outs.slice(nth + 1), ...outs.slice(0, nth).reverse()]) {
    if (options.length === 3) break;
    if (line(i) !== line(next) && !options.includes(line(i))) options.push(line(i));
  }
  if (options.length === 0) return undefined;
  const right = at % (options.length + 1);
  options.splice(right, 0, line(next));
  const by = nameOf(trace, loop, loop.entries[trace.events[next].by]);
  return asked('print', at, { turn: turn.n, by }, right, next, options.length, { options: options.map((text) => `“${text}”`) });
}

/** Puts a question into the words of the table. */
function asked(kind, at, facts, right, evidence, worth, more) {
  Object.assign(facts, { kind, right });
  const options = WORDS.options[kind]?.map((option) => fill(option, facts));
  return { kind, at, text: part('ask', facts), options, right, why: part('answer', facts), evidence, worth, ...more };
}

function lastOf(trace, loop) {
  return trace.events.findLastIndex((event) => (event.l ?? 1) === loop.l);
}

// ---- the card

/** The open question; undefined when it was answered, or outside of Predict. */
function openQuestion() {
  if (page.view !== 'predict') return undefined;
  const question = traces[page.trace].questions[page.question];
  return question && !page.answers.has(page.question) ? question : undefined;
}

function isRight(question, answer) {
  return question.kind === 'order' ? answer.every((option, i) => option === question.right[i]) : answer === question.right;
}

function questionCard({ trace }) {
  const { questions } = trace;
  const question = questions[page.question];
  const right = [...page.answers].filter(([i, answer]) => isRight(questions[i], answer)).length;
  if (!question) {
    const words = questions.length === 0 ? 'This run has nothing to ask about.' : `That was the last one: ${right} of ${questions.length} right.`;
    return html`<section class="card pane" aria-label="Predict"><p class="question">${words}</p><button class="step main" data-act="predict">Back to the X-ray</button></section>`;
  }
  const answer = page.answers.get(page.question);
  const answered = answer !== undefined;
  const good = answered && isRight(question, answer);
  return html`<section class="card pane ${answered ? (good ? 'good' : 'bad') : ''}" aria-label="Predict">
    <p class="dim">Predict ${page.question + 1} of ${questions.length} · ${right} right</p>
    <p class="question">${withNames(question.text)}</p>
    ${question.kind === 'order' ? orderOptions(question, answer) : html`<div class="options">${question.options.map((text, i) => option(text, i, answered, i === question.right, i === answer))}</div>`}
    ${answered ? html`<div class="answer"><p><b>${good ? 'Right.' : 'Not so.'}</b> ${withNames(question.why)}</p><button class="step main" data-act="nextQuestion">Next</button></div>` : nothing}
  </section>`;
}

function option(text, i, answered, right, chosen) {
  const state = !answered ? '' : right ? 'hit' : chosen ? 'miss' : 'other';
  const words = { hit: chosen ? ', chosen and right' : ', what happened', miss: ', chosen, but not so' }[state];
  return html`<button class="option ${state}" ?disabled=${answered} data-act="answer" data-value=${i}><kbd>${i + 1}</kbd><span>${withNames(text)}</span>${words ? html`<span class="unseen">${words}</span>` : nothing}</button>`;
}

/** Tapped one after another. What was chosen stays beside what happened. */
function orderOptions(question, answer) {
  if (answer) {
    const list = (title, order) => html`<li><span class="dim">${title}</span> ${order.map((i, n) => html`${n ? ' → ' : ''}<code>${question.options[i]}</code>`)}</li>`;
    return html`<ul class="orders">${list('what happened:', question.right)}${list('your order:', answer)}</ul>`;
  }
  return html`<div class="options">${question.options.map((text, i) => {
    const place = page.tapped.indexOf(i);
    return html`<button class="option" aria-pressed=${place >= 0} data-act="answer" data-value=${i}><kbd>${place < 0 ? '·' : place + 1}</kbd><span>${text}</span></button>`;
  })}</div>`;
}

const PREDICT = {
  predict: () => {
    page.view = page.view === 'predict' ? '' : 'predict';
    if (page.view) toQuestion(0, true);
    else draw();
  },
  nextQuestion: () => page.view === 'predict' && page.answers.has(page.question) && toQuestion(page.question + 1),
  answer: (value) => {
    const question = openQuestion();
    const chosen = Number(value);
    if (!question || !(chosen < question.options.length)) return;
    if (question.kind !== 'order') return answered(question, chosen);
    page.tapped = page.tapped.includes(chosen) ? page.tapped.filter((one) => one !== chosen) : [...page.tapped, chosen];
    if (page.tapped.length === question.options.length) answered(question, page.tapped);
    else draw();
  },
};

function toQuestion(n, anew = false) {
  const { questions } = traces[page.trace];
  Object.assign(page, { question: n, tapped: [], chosen: null, dialog: '', answers: anew ? new Map() : page.answers });
  if (page.playing) stopPlaying();
  go(questions[n]?.at ?? page.at);
}

function answered(question, answer) {
  page.answers.set(page.question, answer);
  go(question.evidence);
}
