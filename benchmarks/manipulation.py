"""Two objects, each moving by a timing of its own: python -m benchmarks.manipulation

Shipped weights that take distance maps get a synthetic scene of two objects over a static background, and predict
frames in which one of them stays while the other moves. Prints how far each has moved in every frame, and
writes docs/images/manipulation.gif: on its left only the blue one moves, on its right only the red one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.scenes.scene import Layer, Motion, Scene, Texture
from datamodules.scenes.shapes import Ellipse
from datamodules.synthetic import to_uint8
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.manipulation import OBJECTS, manipulate, timing

GIF = Path(__file__).parents[1] / "docs" / "images" / "manipulation.gif"
MODEL, WEIGHTS = "ifrnet_tiny", "ifrnet_tiny_d_synthetic"
HEIGHT, WIDTH = 96, 128
RED, BLUE = 0, 2  # the channel that identifies an object
WAYS = {RED: np.array((5.0, 1.0)), BLUE: np.array((-1.0, 5.0))}  # pixels from frame 0 to frame 1, x then y
STILL, MOVING = (0.0, 0.0), (0.0, 1.0)  # curves: see `timing`
COUNT = 9  # frames
SCALE, COLOURS = 2, 64  # of the GIF
FRAME_TIME = 120  # milliseconds

ImageArray = NDArray[np.uint8]


def main() -> None:
    """Print the displacements and write the GIF."""
    clips = []
    for red, blue in ((STILL, MOVING), (MOVING, STILL)):
        clips.append(frames(red, blue))
        for name, channel, curve in (("red", RED, red), ("blue", BLUE, blue)):
            rows = zip(requested(curve), travelled(clips[-1], channel), strict=True)
            print(f"{name}, path requested/measured: " + " ".join(f"{a:.2f}/{m:.2f}" for a, (m, _) in rows))
    gap = np.full((HEIGHT, 4, 3), 255, np.uint8)
    shown = [np.concatenate((first, gap, second), axis=1) for first, second in zip(*clips, strict=True)]
    images = [Image.fromarray(image.repeat(SCALE, 0).repeat(SCALE, 1)) for image in shown + shown[-2:0:-1]]
    palette = images[0].quantize(COLOURS)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    images[0].save(GIF, save_all=True, append_images=images[1:], duration=FRAME_TIME, loop=0, optimize=True)
    print(GIF)


def scene() -> Scene:
    """A red disc that goes to the right and a blue one that goes down, over a grey background at rest."""
    layers = [Layer(_texture(0, (0.5, 0.5, 0.5)), Motion((WIDTH / 2, HEIGHT / 2)))]
    for channel, centre in ((RED, (36.0, 48.0)), (BLUE, (92.0, 48.0))):
        colour = tuple(0.75 if k == channel else 0.3 for k in range(3))
        layers.append(Layer(_texture(1 + channel, colour), Motion(centre, tuple(WAYS[channel] / 2)), Ellipse((20, 20))))
    return Scene(tuple(layers), HEIGHT, WIDTH)


def frames(red: tuple[float, ...], blue: tuple[float, ...], count: int = COUNT) -> list[ImageArray]:
    """The scene, each object by its curve.

    The masks are the halves of the image: IFRNet reads a map at 1/16 of the size, and what is round an object rests.
    """
    frame0, frame1 = (to_uint8(scene().render(time)) for time in (0, 1))
    left = np.broadcast_to(np.arange(WIDTH) < WIDTH // 2, (HEIGHT, WIDTH))
    made = manipulate(Interpolator(MODEL, weights=WEIGHTS), frame0, frame1, [left, ~left], [red, blue], count)
    return [np.asarray(frame) for frame in made]


def requested(curve: tuple[float, ...], count: int = COUNT) -> NDArray[np.float32]:
    """The share of its path that an object should have moved in each frame."""
    return timing(curve, count, *OBJECTS)


def travelled(clip: list[ImageArray], channel: int) -> list[tuple[float, float]]:
    """How far an object is from where it is in frame 0: the share of its way, and the pixels off that way."""
    start = centre(to_uint8(scene().render(0)), channel)
    way = WAYS[channel]
    moved = [centre(frame, channel) - start for frame in clip]
    across = np.array((-way[1], way[0])) / np.hypot(*way)
    return [(float(m @ way / (way @ way)), float(m @ across)) for m in moved]


def centre(frame: ImageArray, channel: int) -> NDArray[np.float64]:
    """The middle of what is redder, or bluer, than grey, by how much it is: x, y."""
    others = [k for k in range(3) if k != channel]
    weight = np.maximum(frame[..., channel] / 255 - frame[..., others].mean(axis=2) / 255 - 0.1, 0)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return np.array(((weight * x).sum(), (weight * y).sum())) / weight.sum()


def _texture(seed: int, colour: tuple[float, ...]) -> Texture:
    """Grey waves of 8 to 40 pixels over a colour."""
    rng = np.random.default_rng(seed)
    angles, periods = rng.uniform(0, 2 * np.pi, 12), rng.uniform(8, 40, 12)
    waves = np.stack((np.cos(angles), np.sin(angles)), axis=1) * (2 * np.pi / periods)[:, None]
    return Texture(np.array(colour), waves, rng.uniform(0, 6, 12), np.tile(rng.uniform(-0.06, 0.06, 12), (3, 1)))


if __name__ == "__main__":
    main()
