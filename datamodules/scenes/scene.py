"""Moving textured scenes in closed form: image, flow and occlusion at any time, none interpolated.

A scene is a stack of layers, the background first. Each has a texture (a sum of plane waves), a shape with
a soft edge, and an affine motion. Texture and shape are functions of the layer's own coordinates: an image is
rendered by mapping pixels to layers, and a flow by mapping them on to another time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, hypot, pi
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.scenes.shapes import Shape

Floats = NDArray[np.float32]

EDGE = 2.0  # pixels over which an object's edge goes from clear to opaque
OPAQUE = 0.5  # from this opacity on, a pixel shows the layer


class Affine(NamedTuple):
    """The map (x, y) -> (xx x + xy y + x0, yx x + yy y + y0)."""

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float

    def inverse(self) -> Affine:
        """The inverse map."""
        d = self.xx * self.yy - self.xy * self.yx
        xx, xy, yx, yy = self.yy / d, -self.xy / d, -self.yx / d, self.xx / d
        return Affine(xx, xy, -xx * self.x0 - xy * self.y0, yx, yy, -yx * self.x0 - yy * self.y0)

    def after(self, first: Affine) -> Affine:
        """`first`, then this."""
        x0, y0 = self(first.x0, first.y0)
        return Affine(
            self.xx * first.xx + self.xy * first.yx,
            self.xx * first.xy + self.xy * first.yy,
            float(x0),
            self.yx * first.xx + self.yy * first.yx,
            self.yx * first.xy + self.yy * first.yy,
            float(y0),
        )

    def minus_identity(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """The displacement: the factors of x, y and 1 in its x and in its y."""
        return (self.xx - 1, self.xy, self.x0), (self.yx, self.yy - 1, self.y0)

    def __call__(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The point or points."""
        return self.xx * x + (self.xy * y + self.x0), self.yx * x + (self.yy * y + self.y0)


@dataclass(frozen=True)
class Motion:
    """Where a layer is at a time: its point u is at centre + u + p * (shift + (grow, turn) u).

    The progress p runs from -1 at time 0 to 1 at time 1, evenly when `speedup` is zero. When `bend` is zero
    too, each point moves straight at its own constant speed: the motion is, to first order, a translation, a
    rotation by `turn` and a scaling by 1 + `grow`.
    """

    centre: tuple[float, float]  # pixels, x then y
    shift: tuple[float, float] = (0.0, 0.0)  # pixels, from the middle to either end
    grow: float = 0.0
    turn: float = 0.0
    bend: tuple[float, float] = (0.0, 0.0)  # pixels by which the middle of the path leaves the straight line
    speedup: float = 0.0  # -0.5..0.5: faster at the end (negative) or at the start (positive)

    def at(self, time: float) -> Affine:
        """From the layer's coordinates to pixels at `time` (0..1)."""
        even = 2 * time - 1
        p = even + self.speedup * (1 - even**2)
        x0 = self.centre[0] + p * self.shift[0] + (1 - p**2) * self.bend[0]
        y0 = self.centre[1] + p * self.shift[1] + (1 - p**2) * self.bend[1]
        return Affine(1 + p * self.grow, -p * self.turn, x0, p * self.turn, 1 + p * self.grow, y0)


class Texture:
    """A colour plus a sum of plane waves: smooth, and known at every real-valued point.

    Args:
        colour: 3.
        waves: N 2, radians per pixel, x then y.
        phases: N, radians.
        amplitudes: 3 N.
    """

    def __init__(self, colour: NDArray, waves: NDArray, phases: NDArray, amplitudes: NDArray) -> None:
        self.colour = colour.astype(np.float32)[:, None, None]
        # cos(a + b) = cos a cos b + cos(a + pi/2) cos(b - pi/2): a wave is two products of column and row.
        self.waves = np.concatenate((waves, waves))
        self.row_phases = np.concatenate((phases, phases + pi / 2))
        self.column_phases = np.repeat(np.array((0, -pi / 2), np.float32), len(phases))[:, None]
        self.amplitudes = np.concatenate((amplitudes, amplitudes), axis=1).astype(np.float32)[:, None]

    def render(self, to_layer: Affine, rows: range, columns: range) -> Floats:
        """The texture at the layer's points that the pixels of a window show: 3, rows, columns."""
        angles = self.waves @ np.array((to_layer[:3], to_layer[3:]))  # per column, per row, at the origin
        angles[:, 2] += self.row_phases
        # In float32: its cosine is eight times faster, and exact to 1e-5 in images of some hundred pixels.
        per_column, per_row, origin = angles.T.astype(np.float32)
        x, y = _pixels(rows, columns)
        vertical = np.cos(y * per_row + origin) * self.amplitudes
        horizontal = np.cos(per_column[:, None] * x + self.column_phases)
        return vertical @ horizontal + self.colour


@dataclass(frozen=True)
class Layer:
    """A moving texture; the background has no shape and covers everything."""

    texture: Texture
    motion: Motion
    shape: Shape | None = None

    def opacity(self, to_layer: Affine, x: Floats, y: Floats) -> Floats:
        """0..1 at the pixels x, y (real-valued)."""
        if self.shape is None:
            return np.ones(np.broadcast_shapes(x.shape, y.shape), dtype=np.float32)
        inside = self.shape.inside(*to_layer(x, y))  # type: ignore[arg-type]
        return np.minimum(np.maximum(inside * np.float32(1 / EDGE) + np.float32(0.5), 0), 1)


class Snapshot:
    """A scene at one time, each layer within the smallest window of rows and columns that holds it."""

    def __init__(self, scene: Scene, time: float) -> None:
        self.scene, self.time = scene, time
        self.to_layer = [layer.motion.at(time).inverse() for layer in scene.layers]
        self.windows = [self._window(layer) for layer in scene.layers]
        self.opacities = [
            layer.opacity(to_layer, *_pixels(*window))
            for layer, to_layer, window in zip(scene.layers[1:], self.to_layer[1:], self.windows[1:], strict=True)
        ]

    def image(self) -> Floats:
        """H W 3, in [0, 1]."""
        painted = [
            layer.texture.render(to_layer, *window)
            for layer, to_layer, window in zip(self.scene.layers, self.to_layer, self.windows, strict=True)
        ]
        image = painted[0]
        for (rows, columns), front, opacity in zip(self.windows[1:], painted[1:], self.opacities, strict=True):
            back = image[:, rows.start : rows.stop, columns.start : columns.stop]
            front -= back
            front *= opacity
            back += front
        return np.minimum(np.maximum(image, 0, out=image), 1, out=image).transpose(1, 2, 0)

    def flow(self, *others: float) -> Floats:
        """The flow to each of the other times: H W 2 per time, pixels, x then y."""
        flow = np.empty((2 * len(others), self.scene.height, self.scene.width), dtype=np.float32)
        for number, ((rows, columns), layer) in enumerate(zip(self.windows, self.scene.layers, strict=True)):
            moves = [layer.motion.at(other).after(self.to_layer[number]) for other in others]
            rates = np.array([r for m in moves for r in m.minus_identity()], np.float32)
            x, y = _pixels(rows, columns)
            planes = rates[:, :1, None] * x + (rates[:, 1:2, None] * y + rates[:, 2:, None])
            view = flow[:, rows.start : rows.stop, columns.start : columns.stop]
            np.copyto(view, planes, where=self.opacities[number - 1] >= OPAQUE if number else True)
        return flow.transpose(1, 2, 0)

    def topmost(self) -> NDArray[np.int64]:
        """The number of the layer that each pixel shows: H W."""
        topmost = np.zeros((self.scene.height, self.scene.width), dtype=np.int64)
        for number, ((rows, columns), opacity) in enumerate(zip(self.windows[1:], self.opacities, strict=True)):
            topmost[rows.start : rows.stop, columns.start : columns.stop][opacity >= OPAQUE] = number + 1
        return topmost

    def _window(self, layer: Layer) -> tuple[range, range]:
        height, width = self.scene.height, self.scene.width
        if layer.shape is None:
            return range(height), range(width)
        place, reach = layer.motion.at(self.time), layer.shape.reach + EDGE
        reach_x, reach_y = reach * hypot(place.xx, place.xy), reach * hypot(place.yx, place.yy)
        rows = range(max(0, floor(place.y0 - reach_y)), min(height, ceil(place.y0 + reach_y) + 1))
        columns = range(max(0, floor(place.x0 - reach_x)), min(width, ceil(place.x0 + reach_x) + 1))
        return (rows, columns) if rows and columns else (range(0), range(0))


@dataclass(frozen=True)
class Scene:
    """Layers from back to front, in an image of height x width pixels."""

    layers: tuple[Layer, ...]
    height: int
    width: int

    def at(self, time: float) -> Snapshot:
        """The scene at `time` (0..1)."""
        return Snapshot(self, time)

    def render(self, time: float) -> Floats:
        """The image at `time`: H W 3, in [0, 1]."""
        return self.at(time).image()

    def occlusion(self, time: float, other: float) -> NDArray[np.bool_]:
        """Which pixels at `time` are hidden, or out of the image, at the `other` time: H W."""
        snapshot = self.at(time)
        topmost, flow = snapshot.topmost(), snapshot.flow(other)
        x, y = _pixels(range(self.height), range(self.width))
        x, y = x + flow[..., 0], y + flow[..., 1]
        hidden = (x < 0) | (y < 0) | (x > self.width - 1) | (y > self.height - 1)
        for number, layer in enumerate(self.layers[1:], start=1):
            hidden |= (topmost < number) & (layer.opacity(layer.motion.at(other).inverse(), x, y) >= OPAQUE)
        return hidden


def _pixels(rows: range, columns: range) -> tuple[Floats, Floats]:
    """The x of the columns (1 W) and the y of the rows (H 1)."""
    x = np.arange(columns.start, columns.stop, dtype=np.float32)
    y = np.arange(rows.start, rows.stop, dtype=np.float32)
    return x[None], y[:, None]
