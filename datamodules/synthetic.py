"""Rendered scenes: exact frames at any time, exact flow, no download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samples import Sample
from datamodules.scenes.scene import Floats, Scene
from datamodules.scenes.style import SceneStyle
from datamodules.storage.distance_maps import distance_map
from vfi_train.errors import UserError
from vfi_train.ranges import Limit, NonNegative

Samples = Annotated[int, Limit("from 1 to 1000000000", lambda n: 1 <= n <= 10**9)]  # whose order fits the memory
VAL_EPOCH = 2**32 - 1  # that no training reaches: of the validation scenes


class Synthetic(VFIDataModule):
    """Moving textured scenes, new ones in every epoch; the validation scenes are the same in every run.

    Args:
        size: height and width in pixels, or [height, width].
        train_samples: samples per epoch.
        val_samples: validation samples.
        times: the target's time: a number, a list to choose from, or "uniform" for any in 0..1.
        background_motion, object_motion: maximal displacement from the middle of time to either end, pixels.
        nonuniform: 0: straight paths at constant speed; up to 1: curved, faster and slower.
        curved: with `nonuniform`, bend the paths too. If not, the two frames determine all directions but not the
            distance covered at a time: half-way, between a quarter and three quarters.
        maps: the time is a distance map: the fraction of its path that each pixel of frame 0 has covered.
        flow: give the exact flow.
        **loader: see `VFIDataModule`.
    """

    has_context = has_occlusion = True

    def __init__(
        self,
        *,
        size: int | tuple[int, int] = 64,
        train_samples: Samples = 4096,
        val_samples: Samples = 64,
        times: float | Sequence[float] | Literal["uniform"] = 0.5,
        background_motion: NonNegative = 2.0,
        object_motion: NonNegative = 4.0,
        nonuniform: float = 0.0,
        curved: bool = True,
        maps: bool = False,
        flow: bool = True,
        **loader: Any,
    ) -> None:
        super().__init__(**loader)
        height, width = (size, size) if isinstance(size, int) else size
        _require("data.nonuniform", nonuniform, 0 <= nonuniform <= 1, "a number from 0 to 1")
        _require("data.size", size, min(height, width) >= 16 and max(height, width) <= 8192, "16 to 8192 pixels a side")
        self.style = SceneStyle(height, width, background_motion, object_motion, nonuniform, curved)
        self.times = _times(times)
        self.arbitrary_time = maps or self.times != (0.5,)
        self.gives_flow, self.gives_val_flow, self.gives_maps = flow, flow, maps
        self.train_samples, self.val_samples = int(train_samples), int(val_samples)

    def train_source(self) -> SyntheticScenes:
        """Scenes of (seed, epoch, index)."""
        return self._scenes(self.train_samples)

    def val_source(self) -> SyntheticScenes:
        """Scenes that depend only on the index."""
        scenes = self._scenes(self.val_samples)
        scenes.occlusion = self.occlusion
        return scenes

    def _scenes(self, samples: int) -> SyntheticScenes:
        return SyntheticScenes(self.style, samples, self.times, self.gives_flow, self.gives_maps, self.context)


class SyntheticScenes:
    """A `SampleSource`. `times` is empty for any time."""

    def __init__(
        self, style: SceneStyle, samples: int, times: tuple[float, ...], flow: bool, maps: bool, context: bool
    ) -> None:
        self.style, self.samples, self.times, self.flow, self.maps = style, samples, times, flow, maps
        self.context, self.occlusion = context, False

    def __len__(self) -> int:
        return self.samples

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Draw a scene and render two ends and a time between."""
        name = "held-out" if rng is None else "scene"
        if rng is None:
            rng = np.random.default_rng((0, VAL_EPOCH, index))
        scene = self.style.draw(rng)
        time = float(rng.choice(self.times)) if self.times else float(rng.uniform())
        snapshot = scene.at(time)
        sample: Sample = {
            "frame0": to_uint8(scene.render(0)),
            "frame1": to_uint8(scene.render(1)),
            "target": to_uint8(snapshot.image()),
            "time": exact_map(scene, time) if self.maps else time,
            "key": f"synthetic/{name}-{index:06d}-t{time:.3f}",
        }
        if self.flow:
            sample["flow"] = snapshot.flow(0, 1)
        if self.occlusion:
            sample["occluded"] = scene.occlusion(time, 0) | scene.occlusion(time, 1)
        if self.context:  # layers keep their acceleration beyond both ends
            sample |= {"before": to_uint8(scene.render(-1)), "after": to_uint8(scene.render(2))}
        return sample


def exact_map(scene: Scene, time: float) -> Floats:
    """The distance map of a scene at `time`, by its exact flows: H W, 0..1, seen from frame 0.

    A map made from images is undefined where nothing moves; this one is the time there.
    """
    flows = scene.at(0).flow(1, time)
    distance = distance_map(flows[..., :2], flows[..., 2:])
    return np.where(np.isfinite(distance), distance, np.float32(time)).clip(0, 1)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1], rounded to 8 bits."""
    return (image * 255 + 0.5).astype(np.uint8)


def _times(times: float | Sequence[float] | str) -> tuple[float, ...]:
    if times == "uniform":
        return ()
    wanted = 'a number from 0 to 1, a list of such numbers, or "uniform"'
    values = [times] if isinstance(times, int | float) else times
    numbers = not isinstance(values, str) and all(isinstance(t, int | float) and 0 <= t <= 1 for t in values)
    _require("data.times", times, numbers and len(values) > 0, wanted)
    return tuple(float(t) for t in values)


def _require(key: str, value: object, condition: bool, wanted: str) -> None:
    if not condition:
        raise UserError(f"{key}={value} is not {wanted}")
