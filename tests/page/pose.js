// Brings the page to the moment of a picture, leaves out what the picture does not show, and returns the text of the rest.
(({ words, panes, lines, varies, style }) => {
  const { traces: [trace], page, go, Replay, sentenceAt } = xray;
  const whole = panes.includes('page');

  function moment() {
    const replay = new Replay(trace);
    for (let at = page.at; at < trace.events.length; at++) {
      if (sentenceAt(trace, replay.at(at), at).say.replaceAll('`', '').includes(words)) return at;
    }
    throw new Error(`no sentence has: ${words}`);
  }

  /** Leaves only some lines of a list that is too long for a picture. */
  function leave(list, from, to) {
    list.forEach((item, i) => item.classList.toggle('posed-out', i < from || i >= to));
  }

  function leaveOut() {
    for (const pane of document.querySelectorAll('.panes .pane')) {
      const name = [...pane.classList].find((name) => name !== 'pane');
      pane.classList.toggle('posed-out', !['queue', 'source', ...panes].includes(name));
    }
    for (const side of document.querySelectorAll('.left, .right')) {
      [...side.children].forEach((pane) => pane.classList.remove('last'));
      [...side.children].findLast((pane) => !pane.matches('.posed-out'))?.classList.add('last');
    }
    const source = [...document.querySelectorAll('.listing .line')];
    const here = source.findIndex((line) => line.matches('.here, .body'));
    const first = Math.max(0, Math.min(here - 4, source.length - lines));
    leave(source, first, first + lines);
    const printed = [...document.querySelectorAll('.printed li')];
    leave(printed, printed.length - 5, printed.length);
  }

  /** The turns, as the strip draws them. */
  function strip() {
    return trace.turns.map((turn) => {
      const ran = turn.ran.map((entry) => nameOf(trace, trace.loops.get(turn.l), entry));
      return `turn ${turn.l}.${turn.run}.${turn.n}${turn.slept > 0 ? ' slept' : ''}${turn.stop ? ' STOP' : ''}: ${ran.join(', ')}`;
    });
  }

  /** What can be read, row by row, each with its classes: they are its colours and its signs. */
  function texts() {
    const rows = new Map();
    const walker = document.createTreeWalker(document.getElementById('page'), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.nodeValue.replace(/\s+/g, ' ').trim();
      const parent = walker.currentNode.parentElement;
      if (!text || parent.closest(`.posed-out, .title p${whole ? ', .about' : ', header, .about, .bar'}`)) continue;
      // Where the turns vary, what surrounds the sentence and the source does, too.
      if (varies && !parent.closest('.source, .pill, .sentence')) continue;
      const row = parent.closest('button, li, tr, p, h1, h2, h3, .line, text, .pill') ?? parent;
      if (!rows.has(row)) rows.set(row, []);
      rows.get(row).push(text);
    }
    return [...rows].map(([row, pieces]) => {
      const kind = [...row.classList].join(' ');
      return `${kind ? `(${kind}) ` : ''}${pieces.join(' ')}`;
    });
  }

  const at = moment();
  const sheet = document.createElement('style');
  sheet.textContent = style;
  document.head.append(sheet);
  document.body.classList.toggle('whole', whole);
  go(Math.max(0, at - 1));
  go(at); // so that the change of this event is tinted
  leaveOut();
  const mask = (text) => (varies ? text.replace(/\d[\d.]*( (ns|µs|ms|s|min|h)\b)?/g, '#') : text);
  return { s: trace.events[at].s, texts: texts().map(mask), strip: varies ? [] : strip() };
})
