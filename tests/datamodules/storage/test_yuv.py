"""The YUV reader against the published HD benchmarks and scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.color import yuv2rgb

from datamodules.storage.yuv import YUVFile, to_rgb
from tests.helpers.golden_cases import load
from vfi_train.errors import DataError


def test_a_frame_is_ema_vfis() -> None:
    arrays = load("functions_EMA-VFI", "yuv420_reader").arrays
    np.testing.assert_array_equal(to_rgb(arrays["bytes"], 16, 24), arrays["rgb"])


def test_a_file_is_rifes(tmp_path: Path) -> None:
    arrays = load("functions_RIFE", "yuv_frame").arrays
    path = tmp_path / "two.yuv"
    arrays["bytes"].tofile(path)
    frames = list(YUVFile(path, 16, 24))
    assert len(frames) == len(YUVFile(path, 16, 24)) == 2
    for got, name in zip(frames, ("rgb0", "rgb1"), strict=True):
        np.testing.assert_array_equal(got, arrays[name])


def test_nearest_chroma_repeats_pixels() -> None:
    content = load("functions_RIFE", "yuv_frame").arrays["bytes"][0]
    y, u, v = content[:384].reshape(16, 24), content[384:480].reshape(8, 12), content[480:].reshape(8, 12)
    u, v = (plane.repeat(2, axis=0).repeat(2, axis=1) for plane in (u, v))
    expected = yuv2rgb(np.stack((y / 255, u / 255 - 0.5, v / 255 - 0.5), axis=2)).clip(0, 1) * 255
    got = to_rgb(content, 16, 24, chroma="nearest")
    np.testing.assert_array_equal(got, expected.astype(np.uint8))
    assert (got != to_rgb(content, 16, 24)).mean() > 0.5


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cut.yuv"
    path.write_bytes(bytes(600))
    with pytest.raises(
        DataError, match=r"cut\.yuv has 600 bytes, which is not a number of complete 16x24 frames of 576"
    ):
        YUVFile(path, 16, 24)
    with pytest.raises(DataError, match=r"none\.yuv cannot be read: No such file"):
        YUVFile(tmp_path / "none.yuv", 16, 24)
    with pytest.raises(ValueError, match=r"an even height and width; got 15x24"):
        YUVFile(path, 15, 24)
    with pytest.raises(ValueError, match=r"one of bicubic, nearest; got 'box'"):
        YUVFile(path, 16, 24, chroma="box")  # type: ignore[arg-type]
    with pytest.raises(IndexError, match=r"has the frames 0 to 0; got 1"):
        YUVFile(path, 20, 20)[1]
