"""A timing curve to draw with the pointer: template, style and script of a Gradio `HTML` element.

Its value is `POINTS` heights from 0 (where the object is in the first image) to 100 (where it is in the last),
evenly spaced from the first frame to the last.
"""

from __future__ import annotations

POINTS = 33
STRAIGHT = [100 * k / (POINTS - 1) for k in range(POINTS)]

TEMPLATE = """
<svg viewBox="-9 -3 118 62" role="img" aria-label="timing curve">
  ${[0, 25, 50, 75, 100].map(x => `<line class="grid" x1="${x}" y1="0" x2="${x}" y2="50"/>`).join('')}
  ${[0, 25, 50].map(y => `<line class="grid" x1="0" y1="${y}" x2="100" y2="${y}"/>`).join('')}
  <polyline points="${value.map((h, k) => `${100 * k / (value.length - 1)},${50 - h / 2}`).join(' ')}"/>
  <text x="-1.5" y="51.5" text-anchor="end">first</text><text x="-1.5" y="1.5" text-anchor="end">last</text>
  <text x="0" y="56">first frame</text><text x="100" y="56" text-anchor="end">last frame</text>
</svg>
"""

STYLE = """
svg { width: 100%; touch-action: none; cursor: crosshair; user-select: none; }
.grid { stroke: var(--border-color-primary); stroke-width: 0.3; }
polyline { fill: none; stroke: var(--color-accent); stroke-width: 1; stroke-linejoin: round; }
text { font-size: 3.6px; fill: var(--body-text-color-subdued); }
"""

# Points are in the units of the drawing, so that its width on the page does not matter. Between two events of a fast
# pointer the heights are interpolated linearly.
SCRIPT = """
let before = null;
const place = (event) => {
  const drawing = element.querySelector('svg');
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
  const last = props.value.length - 1;
  const within = (number, top) => Math.min(Math.max(number, 0), top);
  return [within(Math.round(point.x / 100 * last), last), within(100 - 2 * point.y, 100)];
};
const draw = (event) => {
  const [k, height] = place(event);
  const [from, start] = before ?? [k, height];
  const heights = [...props.value];
  for (let n = Math.min(k, from); n <= Math.max(k, from); n++)
    heights[n] = k === from ? height : start + (height - start) * (n - from) / (k - from);
  before = [k, height];
  props.value = heights;
};
element.addEventListener('pointerdown', (event) => {
  if (!event.target.closest('svg')) return;
  event.preventDefault();
  before = null;
  draw(event);
  const end = () => { window.removeEventListener('pointermove', draw); before = null; trigger('change'); };
  window.addEventListener('pointermove', draw);
  window.addEventListener('pointerup', end, { once: true });
});
element.addEventListener('dblclick', () => {
  const last = props.value.length - 1;
  props.value = props.value.map((_, k) => 100 * k / last);
  trigger('change');
});
"""
