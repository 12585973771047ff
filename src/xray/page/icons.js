// One family of icons: 16 × 16, drawn with one stroke.

const ICONS = {
  soon: 'M3 8h9M9 4.5 12.5 8 9 11.5',
  begin: 'M5 3.5v9l7-4.5z',
  wake: 'M8 13V4M4.5 7.5 8 4l3.5 3.5',
  done: 'M3 8.5 6.5 12 13 4.5',
  cross: 'M4 4l8 8M12 4l-8 8',
  io: 'M2.5 6h10M10 3.5 12.5 6 10 8.5M13.5 10.5h-10M6 8l-2.5 2.5L6 13',
  signal: 'M9 2 4 9h4l-1 5 5-7H8z',
  thread: 'M5 2c0 4 6 4 6 8M11 2c0 4-6 4-6 8M5 10c0 2 1 3 1 4M11 10c0 2-1 3-1 4',
  timer: 'M8 14A5.5 5.5 0 1 0 8 3a5.5 5.5 0 0 0 0 11zM8 5.5V8.5L10 10M6.5 1.5h3',
  wait: 'M4.5 2.5h7M4.5 13.5h7M5 2.5c0 3 6 5 6 8v3M11 2.5c0 3-6 5-6 8v3',
  first: 'M4 3v10M12.5 3.5 7 8l5.5 4.5z',
  fastBack: 'M8 3.5 3.5 8 8 12.5M13 3.5 8.5 8l4.5 4.5',
  back: 'M10 3.5 5.5 8l4.5 4.5',
  next: 'M6 3.5 10.5 8 6 12.5',
  fastNext: 'M3 3.5 7.5 8 3 12.5M8 3.5 12.5 8 8 12.5',
  play: 'M4.5 3v10l8.5-5z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  search: 'M7 11.5A4.5 4.5 0 1 0 7 2.5a4.5 4.5 0 0 0 0 9zM10.3 10.3 14 14',
  theme: 'M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z',
};

function icon(name) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[name]}></path></svg>`;
}
