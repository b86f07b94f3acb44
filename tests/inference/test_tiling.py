"""Large frames in tiles."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from tests.helpers.golden_cases import assert_near, frame
from tests.helpers.mean_networks import Mean, ReferencedMean, pair
from vfi_train.contract import Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.tiling import Tiles


class Blur(Mean):
    """A mean of frames blurred over 5x5 pixels: an answer that depends on a small surrounding alone."""

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        blend = encoding.frame0 * (1 - time) + encoding.frame1 * time
        padded = torch.nn.functional.pad(blend, (2, 2, 2, 2), mode="replicate")
        return Prediction(torch.nn.functional.avg_pool2d(padded, 5, stride=1))


@pytest.mark.parametrize("size", [(64, 64), (150, 64), (131, 203)])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), ((48, 80), 12), (40, 36)])
def test_tiles_leave_no_seams(size: tuple, tile: int | tuple, overlap: int) -> None:
    """Tiles equal the whole where the network looks no further than a quarter of the overlap."""
    frame0, frame1 = pair(*size)
    times = [0.25, 0.5]
    expected = Interpolator(Blur())(frame0, frame1, times)
    got = Interpolator(Blur(), tile=tile, tile_overlap=overlap)(frame0, frame1, times)
    for one, other in zip(got, expected, strict=True):
        assert_near(one, other, 1e-6)


def test_tiles_take_the_maps_of_their_window() -> None:
    frame0, frame1 = pair(70, 90)
    plane, reference = frame(70, 90, 0.5)[:, :1], frame(70, 90, 0.2)
    extras = {"reference": reference, "reference_time": plane * 0.5}
    expected = Interpolator(ReferencedMean())(frame0, frame1, [plane], **extras)[0]
    got = Interpolator(ReferencedMean(), tile=40, tile_overlap=10)(frame0, frame1, [plane], **extras)[0]
    assert_near(got, expected, 1e-6)


@pytest.mark.parametrize(("height", "width"), [(100, 100), (131, 203), (300, 64), (65, 64), (720, 1280)])
def test_windows_cover_the_frame_and_overlap_enough(height: int, width: int) -> None:
    tiles = Tiles(height, width, (64, 80), 16)
    windows = list(tiles.windows())
    weights, covered = torch.zeros(height, width), torch.zeros(height, width)
    for rows, columns in windows:
        assert (rows.stop - rows.start, columns.stop - columns.start) == (min(64, height), min(80, width))
        weights[rows, columns] += tiles.weight(rows, columns, weights)
        covered[rows, columns] += 1
    assert covered.min() >= 1
    assert weights.min() >= 0.25
    starts = sorted({rows.start for rows, _ in windows})
    assert all(b - a <= 64 - 16 for a, b in pairwise(starts))


def test_tiles_must_be_larger_than_their_overlap() -> None:
    with pytest.raises(ValueError, match="cannot overlap by 64"):
        Interpolator(Mean(), tile=64)(*pair(80, 80))
