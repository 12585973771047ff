// Predict: questions made from the trace, and their answers, which are what was recorded.

const MOST_QUESTIONS = 12; // of a run
const WHEN = ['Later in this turn', 'In the next turn', 'In the next run', 'Never'];
const FELT = ['At once', 'In a later turn, at its next step', 'Never'];

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
    const x = nameOf(trace, loop, entry);
    const same = entry.task !== undefined && by.task === entry.task;
    const who = same ? `\`${x}\` has just queued itself again.` : `\`${nameOf(trace, loop, by)}\` has just queued \`${x}\`.`;
    const whys = [
      'It joined the queue before the batch was frozen.',
      'The batch was frozen before, so the entry waits for the next turn.',
      'The batch was frozen, and the stop flag is looked at when it is done. The run ends; the entry stays in the queue, and a later run begins with it.',
      skipped ? 'It was cancelled. Its entry keeps its place and is skipped.' : 'The run ends, and no later run comes. What is in the queue then never runs.',
    ];
    return { kind: 'when', at, text: `${who} When does it run?`, options: WHEN, right, why: whys[right], evidence: entry.run ?? lastOf(trace, loop), worth: (here.stop ? 4 : 0) + right, q: event.q };
  },
  sel(trace, event, at) {
    if (event.why === 'ready' || event.why === 'cap' || event.to === 0 && event.why === 'timer') return undefined;
    const loop = trace.loops.get(event.l ?? 1);
    const begin = trace.turns[trace.turnOf[at]].first;
    const timer = trace.replay.at(begin).get(loop.l).timers.find((one) => !one.cancelled);
    const due = timer && Math.max(0, timer.when - event.t);
    const sleep = timer ? `Yes, until the timer \`${handleName(trace, loop, timer.h)}\` is due in ${due ? duration(due) : '0 ms'}` : 'Yes, until the next timer is due';
    const options = ['No: something is ready', 'No: it is to stop', sleep, 'Yes, until something outside wakes it'];
    const right = { stopping: 1, timer: 2, idle: 3 }[event.why];
    const whys = ['', 'Nothing is ready, but the stop flag is set: the loop only looks, and leaves after this turn.', 'Nothing is ready. The loop sleeps at most until its first timer is due.', 'Nothing is ready and no timer is set. Only something from outside can end this sleep.'];
    return { kind: 'sleep', at: begin, text: `Turn ${trace.turns[trace.turnOf[at]].n} begins. The loop will ask the kernel for news. May it sleep?`, options, right, why: whys[right], evidence: at, worth: right === 1 ? 3 : trace.turnOf[at] % 2 };
  },
  batch(trace, event, at) {
    const loop = trace.loops.get(event.l ?? 1);
    const entries = trace.replay.at(at).get(loop.l).ready.map((entry) => loop.entries[entry.q]);
    const names = entries.map((entry) => nameOf(trace, loop, entry));
    const turn = trace.turns[trace.turnOf[at]];
    if (names.length >= 3 && names.length <= 5 && new Set(names).size === names.length && turn.ran.length === names.length) {
      const options = [...names].sort();
      return { kind: 'order', at: at - 1, text: `These ${names.length} run in turn ${turn.n}. In which order?`, options, right: names.map((name) => options.indexOf(name)), why: 'The queue is first in, first out: leftovers first, then what the outside queued, then timers that are due.', evidence: at, worth: names.length };
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
    const whys = ['', 'A request only marks the task, or ends what it waits on. The error is thrown at its await, in its next step.', 'The task ended before a step in which the error could be thrown.'];
    return { kind: 'cancel', at, text: `Cancellation of \`${taskName(loop, event.task)}\` was just requested. When does the task feel it?`, options: FELT, right, why: whys[right], evidence: felt < 0 ? lastOf(trace, loop) : felt, worth: right, task: event.task };
  },
};

/** What is printed next, among other lines of this run, later ones first. */
function printed(trace, loop, turn, at) {
  const line = (i) => short(trace.events[i].text.split('\n').find((text) => text.trim() !== '') ?? '');
  const outs = trace.outs.filter((i) => (trace.events[i].l ?? 1) === loop.l && trace.events[i].by !== undefined && line(i));
  const next = outs.find((i) => i > at);
  if (next === undefined || trace.turns[trace.turnOf[next]] !== turn) return undefined;
  const others = [...outs.filter((i) => i > next), ...outs.filter((i) => i < next).reverse()].map(line);
  const options = [...new Set(others)].filter((text) => text !== line(next)).slice(0, 3);
  if (options.length === 0) return undefined;
  const right = at % (options.length + 1);
  options.splice(right, 0, line(next));
  const by = nameOf(trace, loop, loop.entries[trace.events[next].by]);
  return { kind: 'print', at, text: `The batch of turn ${turn.n} is frozen. What is printed next?`, options: options.map((text) => `“${text}”`), right, why: `\`${by}\` runs in this batch and prints it.`, evidence: next, worth: options.length };
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
