// The program's own file, with the place of this moment and the tasks that wait in it.

const TOKENS = /(\/\/.*|#(?!\[|!).*)|("(?:[^"\\]|\\.)*"?|'(?:[^'\\\n]|\\.)')|\b(async|await|break|const|continue|crate|else|enum|fn|for|if|impl|in|let|loop|match|mod|move|mut|pub|ref|return|self|Self|static|struct|super|trait|type|unsafe|use|where|while|def|class|import|from|as|with|try|except|finally|raise|lambda|None|True|False|true|false|not|and|or|pass|yield|global|nonlocal)\b|\b(\d[\d_]*(?:\.\d+)?)\b|\b([A-Za-z_]\w*!?)(?=\()/g;
const TOKEN_CLASSES = ['remark', 'string', 'word', 'number', 'call'];
const LONGEST_FILE = 1500;

function sourcePane(view) {
  const focus = sourceFocus(view);
  const file = focus?.file ?? view.trace.mainFile;
  const lines = colouredLines(view.trace, file);
  if (!lines) return pane('source', 'Source', '', empty('The trace holds no source text.'));
  const body = focus?.file === file ? focus.body : undefined;
  const marks = marksOf(view, file, focus);
  const from = lines.length <= LONGEST_FILE ? 0 : Math.max(0, (focus?.line ?? 1) - LONGEST_FILE / 2);
  return pane('source', 'Source', file.split('/').at(-1), html`<div class="listing" tabindex="0" role="group" aria-label="source text" data-line=${focus?.line ?? nothing}>${lines.slice(from, from + LONGEST_FILE).map((line, i) => {
    const n = from + i + 1;
    const notes = marks.get(n);
    const kind = `${n === focus?.line && focus.file === file ? 'here' : ''} ${body && n >= body[0] && n <= body[1] ? 'body' : ''}`;
    return html`<div class="line ${kind}"><span class="n">${n}</span><span class="text">${line}</span>${notes ? html`<span class="notes">${notes.map(([kind, text]) => html`<em class=${kind}>${kind === 'waits' ? icon('wait') : nothing}${text}</em>`)}</span>` : nothing}</div>`;
  })}</div>`);
}

/** Finds the place of this moment: of what was chosen, of the event, or of what runs. */
function sourceFocus(view) {
  const { trace, loop, s, event, chosen } = view;
  if (chosen !== null && loop.entries[chosen]) return placeFocus(trace, loop, loop.entries[chosen].src, 'queued here', loop.entries[chosen]);
  const words = { task: 'made here', timer: 'sets a timer here', push: 'queued here', job: 'made here', fut: 'made here', park: 'waits here' };
  const running = s.current === null ? undefined : loop.entries[s.current];
  const src = event.e === 'park' ? event.stack?.[0] : event.src;
  const place = trace.places.get(src);
  // A wakeup's place is where its task was made, which says nothing about this moment.
  if (place && trace.files.has(place.file) && event.kind !== 'wakeup') return placeFocus(trace, loop, src, words[event.e] ?? 'here', running);
  if (running) return placeFocus(trace, loop, running.src, '', running);
  return undefined;
}

function placeFocus(trace, loop, src, words, entry) {
  const place = trace.places.get(src);
  if (!place || !trace.files.has(place.file)) return undefined;
  const body = bodyOf(trace, loop, place, entry);
  const closure = words === '' && !body;
  const kind = entry && isOwn(trace, entry) ? 'made here' : 'this closure';
  return { file: place.file, line: words === '' && body ? body[0] : place.line, words: closure ? kind : words, body };
}

/** Finds the lines of the function that an entry runs, by its name. */
function bodyOf(trace, loop, place, entry) {
  if (!entry || isOwn(trace, entry)) return undefined;
  const label = entry.task === undefined ? entry.cb : loop.tasks.get(entry.task)?.coro ?? '';
  const segments = label.split(/::|\./).filter((segment) => !segment.includes('closure') && segment !== '<locals>' && segment !== '<lambda>');
  if (entry.task === undefined && /closure|<lambda>/.test(label)) return undefined;
  const name = segments.at(-1);
  if (!name || !/^\w+$/.test(name)) return undefined;
  const lines = trace.files.get(place.file).split('\n');
  const first = lines.findIndex((line) => new RegExp(`\\b(fn|def) ${name}\\b`).test(line));
  if (first < 0) return undefined;
  const indent = /^\s*/.exec(lines[first])[0].length;
  let last = first;
  for (let i = first + 1; i < lines.length; i++) {
    const inside = lines[i].trim() === '' || /^\s*/.exec(lines[i])[0].length > indent;
    if (!inside && !/^\s*[})]/.test(lines[i])) break;
    if (lines[i].trim() !== '') last = i;
    if (!inside && /^\s*}/.test(lines[i])) break;
  }
  return [first + 1, last + 1];
}

/** What is written beside the lines: this moment, and which tasks wait where. */
function marksOf({ trace, loop, s }, file, focus) {
  const marks = new Map();
  const add = (line, kind, text) => marks.set(line, [...(marks.get(line) ?? []), [kind, text]]);
  if (focus?.file === file && focus.words) add(focus.line, 'moment', focus.words);
  const waiting = new Map();
  for (const task of s.tasks) {
    const place = task.state === 'waiting' && trace.places.get(task.at);
    if (place && place.file === file) waiting.set(place.line, [...(waiting.get(place.line) ?? []), taskName(loop, task.id)]);
  }
  for (const [line, names] of waiting) add(line, 'waits', `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`);
  return marks;
}

const coloured = new Map();

/** Returns a file's lines as templates, made once. */
function colouredLines(trace, file) {
  const text = trace.files.get(file);
  if (text === undefined) return undefined;
  if (!coloured.has(text)) coloured.set(text, text.replace(/\n$/, '').split('\n').map(colouredLine));
  return coloured.get(text);
}

function colouredLine(line) {
  const pieces = [];
  let from = 0;
  for (const match of line.matchAll(TOKENS)) {
    const kind = TOKEN_CLASSES[match.slice(1).findIndex((group) => group !== undefined)];
    pieces.push(line.slice(from, match.index), html`<span class=${kind}>${match[0]}</span>`);
    from = match.index + match[0].length;
  }
  return [...pieces, line.slice(from)];
}
