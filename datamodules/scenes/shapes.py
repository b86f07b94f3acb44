"""Outlines of the objects in synthetic scenes, as functions of the layer's own coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, e, exp, hypot, log, pi, sin, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class UniformStream:
    """Uniform random numbers, drawn at once: a scene needs a hundred, and single draws are slow."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self._numbers = iter(rng.random(count).tolist())

    def between(self, low: float, high: float) -> float:
        """The next number, from `low` to `high`."""
        return low + (high - low) * next(self._numbers)


class Shape(Protocol):
    """A region around the origin of a layer's plane; `reach` bounds the distance of its points from there."""

    @property
    def reach(self) -> float:
        """Pixels; a bound, not the least one."""
        ...

    def inside(self, x: Floats, y: Floats) -> Floats:
        """Approximate distance of the points x, y inside the outline, in pixels; negative outside."""
        ...


@dataclass(frozen=True)
class Ellipse:
    """An ellipse, its first radius turned from the x axis by an angle."""

    radii: tuple[float, float]
    angle: float = 0.0

    @property
    def reach(self) -> float:
        """The longer radius."""
        return max(self.radii)

    def inside(self, x: Floats, y: Floats) -> Floats:
        """Exact for a circle; see `Shape`."""
        (a, b), c, s = self.radii, cos(self.angle), sin(self.angle)
        along, across = (c / a) * x + (s / a) * y, (c / b) * y - (s / b) * x
        return min(self.radii) * (1 - np.sqrt(along * along + across * across))


@dataclass(frozen=True)
class Polygon:
    """A convex polygon around the origin, with its sides at `distances` and `angles`."""

    angles: tuple[float, ...]  # of the outward normals, rising
    distances: tuple[float, ...]

    @property
    def reach(self) -> float:
        """An upper bound by the widest angle between two sides."""
        following = (*self.angles[1:], self.angles[0] + 2 * pi)
        widest = max(b - a for a, b in zip(self.angles, following, strict=True))
        return max(self.distances) / cos(widest / 2)

    def inside(self, x: Floats, y: Floats) -> Floats:
        """Exact near the sides; see `Shape`."""
        angles, distances = (np.array(part, np.float32)[:, None, None] for part in (self.angles, self.distances))
        return (distances - np.cos(angles) * x - np.sin(angles) * y).min(axis=0)


@dataclass(frozen=True)
class Blob:
    """Where a sum of Gaussians is high: discs of a radius that merge."""

    centres: tuple[tuple[float, float], ...]
    radius: float

    @property
    def reach(self) -> float:
        """An upper bound: all Gaussians at the farthest centre."""
        farthest = max(hypot(*centre) for centre in self.centres)
        return farthest + self.radius * sqrt(1 + log(len(self.centres)))

    def inside(self, x: Floats, y: Floats) -> Floats:
        """By the slope 2 / (e radius) of a Gaussian at its radius; see `Shape`."""
        centres = np.array(self.centres, np.float32)[..., None, None]
        dx, dy = x - centres[:, 0], y - centres[:, 1]
        height = np.exp((dx * dx + dy * dy) * (-1 / self.radius**2)).sum(axis=0)
        return (height - exp(-1)) * (self.radius * e / 2)


def draw_shape(numbers: UniformStream, radius: float) -> Shape:
    """One of the shapes above, of about the given radius in pixels."""
    kind = numbers.between(0, 3)
    if kind < 1:
        return Ellipse((radius, radius * numbers.between(0.5, 1)), numbers.between(0, pi))
    if kind < 2:
        sides, turn = int(numbers.between(4, 8)), numbers.between(0, 2 * pi)
        angles = (turn + (n + numbers.between(-0.15, 0.15)) * (2 * pi / sides) for n in range(sides))
        return Polygon(tuple(angles), tuple(radius * numbers.between(0.6, 0.9) for _ in range(sides)))
    count, far = int(numbers.between(2, 5)), 0.6 * radius
    centres = ((numbers.between(-far, far), numbers.between(-far, far)) for _ in range(count))
    return Blob(tuple(centres), 0.5 * radius)
