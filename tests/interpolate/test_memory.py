"""Large frames: what is counted is what is used, tiles are chosen by it, and give the frame of the whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.programs import ENVIRONMENT
from tests.helpers.videos import Blend
from vfi_train.architectures import create_model
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.interpolate.tile_size import may_keep, needed, scale_for, tile_for
from vfi_train.profile.inference_cost import multiply_accumulates, peak_memory
from vfi_train.runtime.devices import free_memory

MIB = 2**20


class Wide(Blend):
    """Takes 50 times the memory of a frame."""

    def decode(self, encoding, time, **extras):
        wide = encoding.frame0.repeat(1, 50, 1, 1)
        answer = super().decode(encoding, time)
        answer.frame += 0 * wide.mean()
        return answer


def test_memory_is_counted_while_it_is_held() -> None:
    """Two frames of 3 x 8 x 16 floats, a sum, which is freed, and then a larger tensor."""
    model = Blend()

    def call(frame0: torch.Tensor, frame1: torch.Tensor) -> None:
        total = frame0 + frame1
        del total
        assert (frame0.new_empty(500) + frame0.new_empty(500)).shape == (500,)

    assert peak_memory(model, call, (8, 16)) == 4 * (2 * 3 * 8 * 16 + 3 * 500)
    assert peak_memory(model, lambda frame0, frame1: frame0 + frame1, (8, 16), batch=5) == 4 * 5 * 3 * 3 * 8 * 16


def test_multiply_accumulates_of_a_convolution() -> None:
    class One(Blend):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 5, 3, padding=1)

        def decode(self, encoding, time, **extras):
            self.layer(encoding.frame0)
            return super().decode(encoding, time, **extras)

    assert multiply_accumulates(One(), (30, 64)) == 5 * 3 * 9 * 32 * 64  # 30 rows are padded to 32


def test_scale_follows_the_published_protocols_for_2k_and_4k() -> None:
    sizes = {(720, 1280): 1.0, (1080, 1920): 1.0, (1080, 2048): 0.5, (2048, 1080): 0.5, (2160, 4096): 0.25}
    assert {size: scale_for(*size) for size in sizes} == sizes


def test_a_network_that_adapts_to_the_size_keeps_scale_1() -> None:
    model = create_model("ebme")
    assert [(model.adapt_to(*size), model.levels) for size in ((540, 960), (2160, 4096))] == [(True, 5), (True, 7)]
    assert not create_model("ifrnet_tiny").adapt_to(2160, 4096)


def test_tiles_are_the_largest_that_the_memory_holds() -> None:
    asked = Interpolator(Wide())
    size = (1080, 1920)
    gib = {tile: needed(asked, size, 1, tile) / 2**30 for tile in (None, 512)}
    assert tile_for(asked, size, 1, 1.41 * gib[None]) is None
    assert tile_for(asked, size, 1, 1.41 * gib[512]) == 512
    assert tile_for(asked, size, 1, 1.39 * gib[512]) == 384
    assert asked.tile is None
    assert tile_for(asked, (336, 640), 1, None) is None  # needs no counting
    with pytest.raises(UserError, match="hold no tile of 256 pixels beside frames of 1080x1920"):
        tile_for(asked, size, 1, 0.5 * needed(asked, size, 1, 256) / 2**30)


def test_freed_memory_is_kept_where_there_is_room_for_what_lies_between() -> None:
    size = (1080, 1920)
    for tile in (None, 512):
        asked = Interpolator(Wide(), tile=tile)
        gib = needed(asked, size, 1, tile) / 2**30
        assert may_keep(asked, size, 1, 2.39 * gib)
        assert not may_keep(asked, size, 1, 2.37 * gib)
    assert may_keep(Interpolator(Wide()), (336, 640), 1, None)  # needs no counting


def test_what_is_needed_is_what_tiles_take() -> None:
    asked = Interpolator(Wide(), tile=96, tile_overlap=32)

    def ask(frame0: torch.Tensor, frame1: torch.Tensor) -> None:
        for prediction in asked.stream(frame0, frame1, [0.5] * 4):
            assert prediction.frame.shape == (2, 3, 150, 96)

    assert 1 <= needed(asked, (150, 96), 2, 96) / peak_memory(asked.model, ask, (150, 96), 2) <= 1.15


def test_free_memory_is_that_of_the_machine() -> None:
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


MEASURED = """
import resource, sys
import numpy as np
import torch
from vfi_train.inference.interpolator import Interpolator

torch.manual_seed(0)
tile = int(sys.argv[1]) or None
rows, columns = np.mgrid[:2160, :3840].astype(np.float32)
def frame(shift):  # smooth waves that move to the right
    waves = [np.sin((columns - shift) / period + rows / (2 * period)) for period in (11, 23, 47)]
    return ((np.stack(waves, axis=-1) + 1) * 127).astype(np.uint8)
first, second = frame(0.0), frame(6.0)
network = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic", tile=tile)
network(first[:64, :64], second[:64, :64])
resource_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
middle = network(first, second)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resource_before) / 1024
np.save(sys.argv[2], middle)
print(f"grown {grown:.0f}")
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_4k_frame_in_tiles_equals_the_whole_with_a_quarter_of_the_memory(tmp_path: Path) -> None:
    """IFRNet: tiles see less of the surroundings, and its mean is a tile's, so that the frames are near, not equal."""
    grown, frames = [], []
    for tile in (0, 512):
        path = tmp_path / f"{tile}.npy"
        command = [sys.executable, "-c", MEASURED, str(tile), str(path)]
        process = subprocess.run(
            command, capture_output=True, text=True, env=ENVIRONMENT, cwd=Path(__file__).parents[2]
        )
        assert process.returncode == 0, process.stderr
        grown.append(float(process.stdout.split()[1]))
        frames.append(np.load(path).astype(float))
    difference = np.abs(frames[1] - frames[0])
    print(f"{grown[0]:.0f} MiB, in tiles {grown[1]:.0f}; mean {difference.mean():.3f}, max {difference.max():.0f}")
    assert grown[1] <= grown[0] / 4
    assert difference.mean() <= 0.05  # of 255 levels
    assert difference.max() <= 3
