"""Images against another library, a golden and closed forms; the baselines."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.utils import flow_to_image

from tests.helpers.golden_cases import assert_near, frame
from vfi_train.contract import Batch, Prediction
from vfi_train.training.baselines import mean_of_frames, nearest_frame
from vfi_train.visualization import (
    LINE,
    arrival_image,
    error_image,
    flow_image,
    frame_image,
    grid,
    mask_image,
    overlay,
    sample_strip,
    save_png,
)


def flow(scale: float = 12.0) -> torch.Tensor:
    return scale * (frame(48, 64, 0.0, 90)[0, :2] - 0.5)


def test_flow_colours_equal_torchvision() -> None:
    """Which rounds down the wheel's steps and the result: two grey levels."""
    expected = flow_to_image(flow()).movedim(0, -1).numpy()
    assert np.abs(flow_image(flow()).astype(int) - expected).max() <= 2


def test_flow_scale() -> None:
    zero = torch.zeros(2, 4, 4)
    assert (flow_image(zero) == 255).all()  # no motion is white
    assert (flow_image(zero, longest=10.0) == 255).all()
    right = torch.stack((torch.full((4, 4), 5.0), torch.zeros(4, 4)))
    half = flow_image(right, longest=10.0)[0, 0].astype(int)
    full = flow_image(right)[0, 0].astype(int)
    assert full[0] == 255
    assert np.abs(half - (full + 255) / 2).max() <= 1  # saturation is length
    beyond = flow_image(right, longest=2.0)[0, 0]
    assert np.abs(beyond - 0.75 * full).max() <= 1


def test_broken_flow_is_black() -> None:
    broken = flow()
    broken[0, 3, 5] = torch.nan
    broken[1, 7, 9] = torch.inf
    image, whole = flow_image(broken), flow_image(flow())
    assert (image[3, 5] == 0).all()
    assert (image[7, 9] == 0).all()
    assert np.abs(image[20:].astype(int) - whole[20:]).max() <= 2


def test_frames_masks_and_errors() -> None:
    a, b = torch.full((3, 2, 2), 0.2), torch.full((3, 2, 2), 0.6)
    assert (frame_image(a) == 51).all()
    assert (frame_image(a - 1) == 0).all()
    assert (overlay(a, b) == 102).all()
    assert mask_image(torch.tensor([[[0.0, 1.0]]]))[0].tolist() == [[0, 0, 0], [255, 255, 255]]
    brightness = [error_image(a + e, a)[0, 0].astype(int).sum() for e in (0.0, 0.05, 0.1, 0.2)]
    assert brightness == sorted(set(brightness))
    assert (error_image(a + 0.2, a) == error_image(a + 0.7, a)).all()
    assert (error_image(a, a) == cv2.applyColorMap(np.zeros((1, 1), np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]).all()


def sample(height: int, width: int, **fields: object) -> tuple[Batch, Prediction]:
    batch: Batch = {
        "frame0": frame(height, width, 0.0, 1, 2),
        "frame1": frame(height, width, 1.0, 1, 2),
        "target": frame(height, width, 0.5, 1, 2),
        "time": torch.full((2, 1, 1, 1), 0.5),
        "key": ["one", "two"],
    }
    return batch, Prediction(frame(height, width, 0.6, 1, 2), **fields)


@pytest.mark.parametrize(("size", "enlarged"), [((64, 64), 3), ((256, 448), 1), ((32, 48), 7)])
def test_strip_has_a_tile_for_each_field(size: tuple[int, int], enlarged: int) -> None:
    batch, bare = sample(*size)
    maps = [torch.zeros(2, 2, *size)]
    _, full = sample(*size, flow0=maps, flow1=maps, mask=[torch.ones(2, 1, *size)])
    width, height = size[1] * enlarged + 4, size[0] * enlarged + 4 + 2 * LINE
    assert sample_strip(batch, bare).shape == (height, 4 * width, 3)
    strip = sample_strip(batch, full, index=1)
    assert strip.shape == (height, 7 * width, 3)
    assert strip.dtype == np.uint8
    tile = strip[2 * LINE : -4, 2 * width : 3 * width - 4]
    expected = frame_image(batch["target"][1]).repeat(enlarged, 0).repeat(enlarged, 1)
    assert (tile == expected).all()
    assert strip[:LINE].min() < 100  # there is a title


def test_flows_between_the_frames_are_called_motion_and_holes_are_shown() -> None:
    """Frame 0 moves 4 px to the right until the target: nothing of it arrives in the first 4 columns."""
    motion = torch.zeros(2, 2, 8, 16)
    motion[:, 0] = 8.0
    batch, prediction = sample(8, 16, forward_flow0=[motion], forward_flow1=[torch.zeros(2, 2, 8, 16)])
    _, bare = sample(8, 16)
    with_motion, without = sample_strip(batch, prediction), sample_strip(batch, bare)
    tile = without.shape[1] // 4
    assert with_motion.shape[1] == 7 * tile
    arrived = arrival_image(0.5 * motion[0], 0 * motion[0])
    assert (arrived[:, :4] == [0, 0, 255]).all()
    assert (arrived[:, 4:] == 255).all()


def test_strip_of_large_frames_is_shrunk_and_many_or_coarse_fields_are_shown() -> None:
    many = torch.zeros(2, 3, 2, 10, 20)
    many[:, :, 0] = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    batch, prediction = sample(10, 20, flow0=[many], mask=[torch.ones(2, 1, 10, 20)])
    for name in ("frame0", "frame1", "target"):
        batch[name] = batch[name].repeat(1, 1, 64, 64)
    prediction.frame = batch["frame0"]
    strip = sample_strip(batch, prediction)
    assert strip.shape == (320 + 4 + 2 * LINE, 6 * 644, 3)
    tile = strip[2 * LINE : -4, 4 * 644 : 5 * 644 - 4]
    red = flow_image(torch.tensor([[[1.0]], [[0.0]]]))
    assert (tile == red).all()  # mean 2 px of a 64 times smaller map, all one direction


def test_grid_and_png(tmp_path: Path) -> None:
    small, large = np.zeros((4, 6, 3), np.uint8), np.full((3, 9, 3), (255, 0, 10), np.uint8)
    image = grid([small, large])
    assert image.shape == (7, 9, 3)
    assert (image[:4, 6:] == 255).all()
    path = save_png(tmp_path / "new" / "a.png", image)
    assert (cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) == image).all()
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


# --- baselines


@pytest.mark.parametrize("time", [0.5, 0.25, 0.75])
def test_baselines(time: float) -> None:
    frame0, frame1 = frame(8, 8, 0.0, 0, 2), frame(8, 8, 1.0, 0, 2)
    assert_near(mean_of_frames(frame0, frame1, time).frame, frame0 + time * (frame1 - frame0), 1e-6)
    assert_near(nearest_frame(frame0, frame1, time).frame, frame1 if time > 0.5 else frame0, 0)
    for baseline in (mean_of_frames, nearest_frame):
        p = baseline(frame0, frame1, time)
        assert p.mask[0].shape == (2, 1, 8, 8)
        assert_near(p.frame, p.mask[0] * frame0 + (1 - p.mask[0]) * frame1, 1e-6)


def test_baselines_take_a_time_for_each_sample_or_pixel() -> None:
    frame0, frame1 = frame(8, 8, 0.0, 0, 2), frame(8, 8, 1.0, 0, 2)
    times = torch.tensor([0.5, 0.9]).view(2, 1, 1, 1)
    assert_near(nearest_frame(frame0, frame1, times).frame, torch.stack((frame0[0], frame1[1])), 0)
    plane = torch.linspace(0, 1, 8).expand(2, 1, 8, 8)
    assert_near(mean_of_frames(frame0, frame1, plane).frame[..., 0], frame0[..., 0], 0)
    assert_near(nearest_frame(frame0, frame1, plane).frame[..., 7], frame1[..., 7], 0)
