"""Random scenes: number of objects, speed, texture."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, pi, sin

import numpy as np

from datamodules.scenes.scene import Layer, Motion, Scene, Texture
from datamodules.scenes.shapes import UniformStream, draw_shape

WAVES = 16  # in a texture


@dataclass(frozen=True)
class SceneStyle:
    """The distribution of scenes.

    Args:
        height, width: of the images, pixels.
        background_motion, object_motion: maximal displacement from the middle of time to either end, pixels.
        nonuniform: 0: each point moves straight at constant speed; up to 1: faster and slower, along curves.
        curved: whether `nonuniform` bends the paths; if not, they stay straight.
        objects: fewest and most objects.
        contrast: standard deviation of a texture about its colour, on average.
        periods: shortest and longest wave of the textures, pixels.
    """

    height: int = 64
    width: int = 64
    background_motion: float = 2.0
    object_motion: float = 4.0
    nonuniform: float = 0.0
    curved: bool = True
    objects: tuple[int, int] = (1, 4)
    contrast: float = 0.138
    periods: tuple[float, float] = (8.0, 64.0)

    def draw(self, rng: np.random.Generator) -> Scene:
        """A scene; the same for the same state of `rng`."""
        height, width = self.height, self.width
        numbers = UniformStream(rng, 8 + 32 * (self.objects[1] + 1))
        count = 1 + int(numbers.between(self.objects[0], self.objects[1] + 1))
        textures = self._textures(rng, count)
        middle = ((width - 1) / 2, (height - 1) / 2)
        background = self._motion(numbers, middle, self.background_motion, hypot(height, width) / 2)
        layers = [Layer(textures[0], background)]
        for texture in textures[1:]:
            radius = numbers.between(0.1, 0.25) * min(height, width)
            centre = (numbers.between(0.1, 0.9) * (width - 1), numbers.between(0.1, 0.9) * (height - 1))
            motion = self._motion(numbers, centre, self.object_motion, radius)
            layers.append(Layer(texture, motion, draw_shape(numbers, radius)))
        return Scene(tuple(layers), height, width)

    def _motion(self, numbers: UniformStream, centre: tuple[float, float], longest: float, radius: float) -> Motion:
        """A path of at most `longest` pixels from its middle for all points within `radius` of the centre."""
        angle, bend_angle = numbers.between(0, 2 * pi), numbers.between(0, 2 * pi)
        shift, bend = longest * numbers.between(0.2, 0.8), longest * numbers.between(-0.2, 0.2)
        bend *= self.nonuniform * self.curved
        linear = 0.2 * longest / (radius * 2**0.5)
        return Motion(
            centre,
            (shift * cos(angle), shift * sin(angle)),
            linear * numbers.between(-1, 1),
            linear * numbers.between(-1, 1),
            (bend * cos(bend_angle), bend * sin(bend_angle)),
            self.nonuniform * numbers.between(-0.5, 0.5),
        )

    def _textures(self, rng: np.random.Generator, count: int) -> list[Texture]:
        """Waves of all lengths; amplitudes grow with the root of the length, as in natural images."""
        lengths, angles, phases = rng.random((3, count, WAVES))
        shortest, longest = self.periods
        periods = shortest * (longest / shortest) ** lengths
        angles *= 2 * pi
        waves = np.stack((np.cos(angles), np.sin(angles)), axis=2) * (2 * pi / periods)[..., None]
        tints = 1 + 0.7 * rng.standard_normal((count, 3, WAVES))  # mostly grey
        amplitudes = np.sqrt(periods)[:, None] * tints
        colours = 0.25 + 0.5 * rng.random((count, 3))
        contrast = self.contrast * (0.6 + 0.8 * rng.random(count))
        # A wave's variance is half the square of its amplitude; the contrast is the mean of three colours'.
        amplitudes *= (contrast / np.sqrt((amplitudes**2).sum(axis=(1, 2)) / 6))[:, None, None]
        return [Texture(*parts) for parts in zip(colours, waves, 2 * pi * phases, amplitudes, strict=True)]
