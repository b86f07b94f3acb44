"""Charts as SVG texts, which need nothing beside the page that they stand in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 14, 44
MOST_POINTS = 4_000
COLOURS = ("#2a6fdb", "#d1495b", "#2e933c", "#8e5ea2", "#c77d0a", "#3a7d7c")


class Scale:
    """Values to pixels along one axis.

    Args:
        values: that are to be seen.
        first, last: pixels of its ends.
        log: logarithmic.
    """

    def __init__(self, values: Sequence[float], first: float, last: float, log: bool = False) -> None:
        low, high = min(values), max(values)
        if log:
            low, high = low / 1.5, high * 1.5
        else:
            margin = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
            low, high = low - margin, high + margin
        self.low, self.high, self.first, self.last, self.log = low, high, first, last, log

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, x = self.low, self.high, value
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(value)
        return self.first + (x - low) / (high - low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round values, about five."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)) - 1, math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        else:
            step = round_step((self.high - self.low) / 5)
            values = [step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [value for value in values if self.low <= value <= self.high]


def round_step(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * 0.999)


def scatter(points: Sequence[tuple[float, float, str]], x_title: str, y_title: str) -> str:
    """A point for each sample, the two networks' scores being its places; on the line both are equal.

    Of more than 4,000 samples as many, evenly spread, are drawn.
    """
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    shown = [p for p in points[::step] if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not shown:
        return ""
    both = [value for x, y, _ in shown for value in (x, y)]
    x, y = _scales(both, both)
    ends = (x.low, x.high)
    body = [_line(x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1]), "equal")]
    for a, b, name in shown:
        body.append(
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="2.5" class="point"><title>{escape(name)}: {a:.2f}, {b:.2f}'
            "</title></circle>"
        )
    return _chart(x, y, body, x_title, y_title)


def speed(points: Sequence[tuple[float, float, str]], y_title: str) -> str:
    """Milliseconds per frame (logarithmic) against quality, a named point for each network."""
    shown = [p for p in points if p[0] > 0 and math.isfinite(p[1])]
    if not shown:
        return ""
    x = Scale([p[0] for p in shown], LEFT, WIDTH - RIGHT, log=True)
    y = Scale([p[1] for p in shown], HEIGHT - BOTTOM, TOP)
    body = []
    for i, (ms, quality, name) in enumerate(shown):
        left = x(ms) > (LEFT + WIDTH) / 2
        body.append(f'<circle cx="{x(ms):.1f}" cy="{y(quality):.1f}" r="5" fill="{COLOURS[i % len(COLOURS)]}"/>')
        anchor = "end" if left else "start"
        body.append(_text(x(ms) + (-9 if left else 9), y(quality) + 4, name, anchor))
    return _chart(x, y, body, "ms per frame", y_title)


def lines(series: Sequence[tuple[str, Sequence[float]]], x_title: str, y_title: str) -> str:
    """Values at the positions 1, 2, ..., a line for each network."""
    values = [v for _, line in series for v in line if math.isfinite(v)]
    if not values:
        return ""
    longest = max(len(line) for _, line in series)
    x = Scale([0.6, longest + 0.4], LEFT, WIDTH - RIGHT)
    y = Scale(values, HEIGHT - BOTTOM, TOP + 16 * len(series))
    body = []
    for i, (name, line) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        places = [(x(k), y(v)) for k, v in enumerate(line, 1) if math.isfinite(v)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places]
        body.append(f'<rect x="{LEFT + 6}" y="{TOP + 16 * i}" width="10" height="10" fill="{colour}"/>')
        body.append(_text(LEFT + 21, TOP + 9 + 16 * i, name, "start"))
    return _chart(x, y, body, x_title, y_title, whole=True)


def interval(low: float, middle: float, high: float) -> str:
    """A difference with its confidence interval, beside a line at 0; a narrow image for a table's cell."""
    reach = 1.15 * max(abs(low), abs(high)) or 1.0

    def x(value: float) -> float:
        return 80 + 74 * value / reach

    body = _line(80, 2, 80, 22, "zero") + _line(x(low), 12, x(high), 12, "interval")
    body += f'<circle cx="{x(middle):.1f}" cy="12" r="4" class="mean"/>'
    return f'<svg viewBox="0 0 160 24" class="interval" role="img" aria-hidden="true">{body}</svg>'


def _scales(xs: Sequence[float], ys: Sequence[float]) -> tuple[Scale, Scale]:
    return Scale(xs, LEFT, WIDTH - RIGHT), Scale(ys, HEIGHT - BOTTOM, TOP)


def _chart(x: Scale, y: Scale, body: list[str], x_title: str, y_title: str, whole: bool = False) -> str:
    """The body with axes around it."""
    parts = [
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}" class="area"/>'
    ]
    x_ticks = [t for t in x.ticks() if not whole or float(t).is_integer()]
    for value in x_ticks:
        parts.append(_line(x(value), TOP, x(value), HEIGHT - BOTTOM, "grid"))
        parts.append(_text(x(value), HEIGHT - BOTTOM + 16, f"{value:g}", "middle"))
    for value in y.ticks():
        parts.append(_line(LEFT, y(value), WIDTH - RIGHT, y(value), "grid"))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:g}", "end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_title, "middle"))
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{escape(y_title)}</text>'
    )
    inside = "".join([*parts, *body])
    label = escape(f"{y_title} against {x_title}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" aria-label="{label}">{inside}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
