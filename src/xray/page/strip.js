// The strip: a column for each turn, a block for each callback, hatching for a sleep, a red edge for the stop flag,
// a red line above for a disturbance.
//
// It is a canvas, because a long trace has too many blocks for elements. The slider around it has the
// words for screen readers.

const WINDOW = 260; // of more turns a window around the current one is drawn, and an overview bar below
const NAMED = 62; // from this width on, names stand in the blocks

/** Says where each turn is drawn. */
function stripLayout(trace, turn, width) {
  const all = trace.turns.length;
  const shown = Math.min(all, WINDOW);
  const from = Math.max(0, Math.min(all - shown, turn - Math.floor(shown / 2)));
  const turns = trace.turns.slice(from, from + shown);
  const breaks = turns.filter((t, i) => i > 0 && (t.l !== turns[i - 1].l || t.run !== turns[i - 1].run)).length;
  const gap = breaks * 12 > width / 3 ? 4 : 12;
  const column = Math.min(150, (width - 16 - breaks * gap) / Math.max(shown, 1));
  let x = 8;
  const columns = turns.map((t, i) => {
    const begins = i === 0 || t.l !== turns[i - 1].l || t.run !== turns[i - 1].run;
    if (begins && i > 0) x += gap;
    const place = { turn: from + i, x, width: column, begins };
    x += column;
    return place;
  });
  const named = column >= NAMED;
  const deepest = Math.max(1, ...turns.map((t) => t.ran.length));
  const rows = named ? Math.min(deepest, 5) : Math.min(deepest, 8);
  return { columns, named, rows, column, height: 40 + (named ? rows * 20 : Math.max(rows, 3) * 8) + (all > shown ? 10 : 0), all, from, shown };
}

function drawStrip(canvas, view) {
  const { trace } = view;
  const width = canvas.parentElement.clientWidth;
  const { turn } = view;
  const layout = stripLayout(trace, turn, width);
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(layout.height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(layout.height * scale);
    canvas.style.height = `${layout.height}px`;
  }
  const c = canvas.getContext('2d');
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, width, layout.height);
  const style = getComputedStyle(document.documentElement);
  const known = new Map(); // asking for a colour is slow, and each block asks
  const colour = (name) => {
    if (!known.has(name)) known.set(name, style.getPropertyValue(`--${name}`).trim());
    return known.get(name);
  };
  c.font = `11px ${style.getPropertyValue('--sans')}`;
  c.textBaseline = 'middle';
  let label = 0; // where the last label ends
  for (const place of layout.columns) {
    const t = trace.turns[place.turn];
    if (view.hides && place.turn > turn) {
      c.fillStyle = colour('dim');
      c.textAlign = 'left';
      c.fillText('not yet', place.x + 6, layout.height / 2);
      break;
    }
    if (place.begins) label = runLabel(c, colour, trace, t, place, layout, label);
    drawTurn(c, colour, view, t, place, layout, place.turn === turn);
  }
  if (layout.all > layout.shown) drawOverview(c, colour, layout, width);
  canvas.layout = layout;
}

function runLabel(c, colour, trace, t, place, layout, label) {
  if (place.turn > layout.from) {
    c.fillStyle = colour('line');
    c.fillRect(place.x - 7, 4, 1, layout.height - 8);
  }
  const text = trace.loops.size > 1 ? `loop ${t.l} · run ${t.run}` : `run ${t.run}`;
  const short = trace.loops.size > 1 ? `${t.l}·${t.run}` : `${t.run}`;
  const next = layout.columns.find((other) => other.turn > place.turn && other.begins);
  const room = (next?.x ?? c.canvas.parentElement.clientWidth) - place.x - 10;
  const shown = [text, short].find((words) => c.measureText(words).width <= room);
  if (!shown || place.x < label) return label;
  c.fillStyle = colour('dim');
  c.textAlign = 'left';
  c.fillText(shown, place.x, 12);
  return place.x + c.measureText(shown).width + 6;
}

function drawTurn(c, colour, view, t, place, layout, current) {
  const { trace, at } = view;
  const bottom = layout.height - (layout.all > layout.shown ? 28 : 18);
  const top = 22;
  if (current) {
    c.fillStyle = colour('here');
    c.beginPath();
    c.roundRect(place.x - 2, top - 3, place.width, bottom - top + 20, 5);
    c.fill();
  }
  const wide = place.width >= 8;
  const pad = wide ? 2 : 0.5;
  let x = place.x + pad;
  let room = place.width - 2 * pad - (wide ? 2 : 0);
  if (view.hides && current ? view.s.look.slept > 0 : t.slept > 0) {
    const sleep = Math.min(10, room / 3);
    hatch(c, colour('dim'), x, top, sleep, bottom - top);
    x += sleep + 1;
    room -= sleep + 1;
  }
  const step = layout.named ? 20 : 8;
  t.ran.slice(0, layout.rows).filter((entry) => !view.hides || entry.run <= at).forEach((entry, i) => {
    const y = layout.named ? top + i * step : bottom - (i + 1) * step;
    drawBlock(c, colour, view, entry, { x, y, width: room, height: step - 2 }, layout, at >= entry.run);
  });
  if (t.ran.length > layout.rows && !view.hides) {
    c.fillStyle = colour('dim');
    c.textAlign = 'right';
    if (layout.column >= 24) c.fillText(`+${t.ran.length - layout.rows}`, x + room, top - 2);
  }
  if (view.hides && current ? view.s.stopping : t.stop) {
    c.fillStyle = colour('alarm');
    c.fillRect(place.x + place.width - 2, top - 2, 2, bottom - top + 4);
  }
  if (t.disturbed) {
    c.fillStyle = colour('alarm');
    c.fillRect(place.x, top - 6, Math.max(1, place.width - 3), 2);
  }
  const every = Math.ceil(22 / layout.column);
  if (layout.named || current || t.n % every === 0) {
    c.fillStyle = current ? colour('text') : colour('dim');
    c.textAlign = layout.named ? 'left' : 'center';
    const text = layout.named ? `turn ${t.n}` : `${t.n}`;
    const near = !current && Math.abs(place.turn - view.turn) < every && every > 1;
    if (!near) c.fillText(text, layout.named ? x : place.x + place.width / 2, bottom + 9);
  }
}

function drawBlock(c, colour, view, entry, box, layout, ran) {
  const kind = colour(colourOf(view.trace, entry));
  const now = entry.q === view.s.current && view.trace.turnOf[entry.run] === view.turn;
  c.beginPath();
  c.roundRect(box.x, box.y, Math.max(1, box.width), box.height, layout.named ? 4 : 2);
  c.globalAlpha = now ? 1 : ran ? (layout.named ? 0.22 : 0.7) : layout.named ? 1 : 0.22;
  c.fillStyle = !layout.named || ran || now ? kind : colour('pane');
  c.fill();
  c.globalAlpha = 1;
  if (!layout.named) return;
  c.globalAlpha = 0.55;
  c.strokeStyle = kind;
  c.lineWidth = 1;
  c.stroke();
  c.globalAlpha = 1;
  c.fillStyle = now ? colour('on-colour') : ran ? colour('text') : colour('dim');
  c.textAlign = 'left';
  const name = nameOf(view.trace, view.trace.loops.get(view.trace.turns[view.trace.turnOf[entry.run]].l), entry);
  c.fillText(fit(c, name, box.width - 10), box.x + 5, box.y + box.height / 2 + 0.5);
}

function fit(c, text, width) {
  if (c.measureText(text).width <= width) return text;
  let cut = text;
  while (cut.length > 1 && c.measureText(`${cut}…`).width > width) cut = cut.slice(0, -1);
  return `${cut}…`;
}

function hatch(c, colour, x, y, width, height) {
  c.save();
  c.beginPath();
  c.rect(x, y, width, height);
  c.clip();
  c.strokeStyle = colour;
  c.globalAlpha = 0.5;
  c.lineWidth = 1;
  c.beginPath();
  for (let i = -height; i < width; i += 4) {
    c.moveTo(x + i, y + height);
    c.lineTo(x + i + height, y);
  }
  c.stroke();
  c.restore();
}

function drawOverview(c, colour, layout, width) {
  const y = layout.height - 7;
  c.fillStyle = colour('line');
  c.fillRect(8, y, width - 16, 3);
  c.fillStyle = colour('loop');
  const scale = (width - 16) / layout.all;
  c.fillRect(8 + layout.from * scale, y, Math.max(3, layout.shown * scale), 3);
}

/** The turn of this moment; before the first turn of a run, the last one of all turns that began. */
function currentTurn(at, trace) {
  if (trace.turnOf[at] >= 0) return trace.turnOf[at];
  return Math.max(0, trace.turns.findLastIndex((turn) => turn.first <= at));
}

/** The turn that is drawn at `x`, or in the overview bar below it. */
function turnAt(canvas, event) {
  const { layout } = canvas;
  const box = canvas.getBoundingClientRect();
  const x = event.clientX - box.left;
  if (layout.all > layout.shown && event.clientY - box.top > layout.height - 12) {
    return Math.max(0, Math.min(layout.all - 1, Math.floor(((x - 8) / (box.width - 16)) * layout.all)));
  }
  const place = layout.columns.findLast((column) => column.x <= x) ?? layout.columns[0];
  return place.turn;
}
