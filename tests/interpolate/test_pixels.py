"""Alpha, floats and colour profiles through `interpolate`: round trips, and what an output does not hold is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from datamodules.storage.clips import AnimatedImage, ImageFiles
from datamodules.storage.image_io import encode_image, flatten, read_image
from datamodules.storage.media import Frame
from datamodules.storage.video_file import VideoFile
from tests.helpers.videos import Blend, configured, pan
from vfi_train.errors import DataError, UserError
from vfi_train.inference.batch_predictor import BatchPredictor
from vfi_train.inference.interpolator import Interpolator
from vfi_train.interpolate.command import interpolate
from vfi_train.interpolate.frame_stream import FrameStream
from vfi_train.interpolate.frame_times import make_plan
from vfi_train.interpolate.pairs import PairClassifier, pairs
from vfi_train.interpolate.pixels import Range

SIDE = 64
HIDDEN = (0, 255, 0)  # green below transparency, which must never be seen


def squares(count: int = 4) -> list[np.ndarray]:
    """A red square that moves on transparency."""
    images = []
    for i in range(count):
        image = np.zeros((SIDE, 96, 4), np.uint8)
        image[..., :3] = HIDDEN
        image[17:48, 9 + 7 * i : 40 + 7 * i] = (255, 0, 0, 255)
        images.append(image)
    return images


def saved(folder: Path, images: list[np.ndarray], ending: str = ".png") -> Path:
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        (folder / f"{i}{ending}").write_bytes(encode_image(image, ending))
    return folder


def greenest(image: np.ndarray) -> int:
    """The most of what is green beyond red in what can be seen of an RGBA image."""
    seen = flatten(image).astype(int)
    return int((seen[..., 1] - seen[..., 0]).max())


def blended(image0: np.ndarray, image1: np.ndarray, times: int = 1, batch: int = 1) -> list[np.ndarray]:
    """What `FrameStream` gives between two images, by a network that takes their mean."""
    from fractions import Fraction

    plan = make_plan(factor=times + 1)
    given = [Frame(image, Fraction(i), Fraction(1)) for i, image in enumerate((image0, image1, image0))]
    stream = FrameStream(BatchPredictor(Interpolator(Blend())), plan, batch=batch)
    outputs = list(stream.outputs(pairs(given, plan, PairClassifier(None, None))))
    return [output.frame.image for output in outputs[1 : 1 + times]]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_is_blended_with_colours_times_alpha(dtype: Any, batch: int) -> None:
    """Closed form: of opaque red and of green with alpha 0, the middle is red with alpha 1/2."""
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    red, hidden, half = (
        (np.full((32, 32, 4), c) * full).astype(dtype) for c in ((1, 0, 0, 1), (0, 1, 0, 0), (0, 0, 1, 0.5))
    )
    (middle,) = blended(red, hidden, batch=batch)
    assert middle.dtype == dtype
    np.testing.assert_allclose(middle[16, 16] / full, (1, 0, 0, 0.5), atol=0.003)
    first, _ = blended(red, half, times=2, batch=batch)  # (2 * red * 1 + blue * 1/2) / 3, alpha 5/6
    np.testing.assert_allclose(first[16, 16] / full, (0.8, 0, 0.2, 5 / 6), atol=0.006)


@pytest.mark.parametrize("top", [1.0, 4.0, 300.0])
def test_values_above_one_are_blended_and_kept(top: float) -> None:
    rng = np.random.default_rng(0)
    image = (top * rng.random((32, 32, 3)) ** 2).astype(np.float32)
    image[0, 0] = top
    (middle,) = blended(image, image)
    assert middle.dtype == np.float32
    np.testing.assert_allclose(middle, image, rtol=1e-4, atol=1e-5)


def test_the_range_is_continuous_and_inverse() -> None:
    x = np.linspace(0, 1, 50, dtype=np.float32)[:, None, None]
    for top in (1.0, 1.001, 2.0, 1000.0):
        curve = Range(top * x, top * x)
        assert curve.compress(top * x).max() == pytest.approx(1)
        np.testing.assert_allclose(curve.expand(curve.compress(top * x)), top * x, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(Range(1.001 * x, x).compress(x), x, atol=0.002)  # the line, near 1


@pytest.mark.parametrize(
    ("output", "values"),
    [("out", {}), ("out", {"frames": "tif"}), ("out", {"frames": "exr"}), ("out.apng", {}), ("out.webp", {}),
     ("out.gif", {}), ("out.webm", {}), ("out.mkv", {"codec": "ffv1"}), ("out.mov", {"codec": "prores_ks"})],
)  # fmt: skip
def test_alpha_reaches_outputs_that_hold_it(tmp_path: Path, output: str, values: dict) -> None:
    interpolate(configured(input=saved(tmp_path / "in", squares()), output=tmp_path / output, factor=2, **values))
    path = tmp_path / output
    source: Any
    if path.is_dir():
        source = ImageFiles(sorted(path.iterdir()), bits=8, alpha=True)
    else:
        source = AnimatedImage(path) if path.suffix == ".webp" else VideoFile(path, bits=8, alpha=True)
    frames = [frame.image for frame in source.frames()]
    assert len(frames) >= 7
    for index, given in enumerate(squares()):
        difference = np.abs(flatten(frames[2 * index]).astype(int) - flatten(given))
        alpha = np.abs(frames[2 * index][..., 3].astype(int) - given[..., 3])
        assert difference.mean() < 4
        assert alpha.mean() < 2
    for made in frames[1:7:2]:
        assert 500 < (made[..., 3] > 127).sum() < 1600  # the square has 961 pixels
    assert max(map(greenest, frames)) < 8


@pytest.mark.parametrize(("output", "values"), [("out.mp4", {}), ("out", {"frames": "jpg"}), ("out.avi", {})])
def test_elsewhere_frames_are_laid_over_a_colour_and_it_is_said(
    tmp_path: Path, output: str, values: dict, capsys: pytest.CaptureFixture
) -> None:
    folder = saved(tmp_path / "in", squares())
    interpolate(configured(input=folder, output=tmp_path / output, factor=2, background="#0000ff", **values))
    said = capsys.readouterr().err
    assert "holds no transparency: frames are laid over background=" in said.splitlines()[-1]
    path = tmp_path / output
    source: Any = ImageFiles(sorted(path.iterdir())) if path.is_dir() else VideoFile(path)
    for frame in source.frames():
        assert np.abs(frame.image[4, 4].astype(int) - (0, 0, 255)).max() < 12
        assert (frame.image[..., 1].astype(int) - frame.image[..., [0, 2]].max(axis=2)).max() < 40  # nothing is green
    with pytest.raises(UserError, match="background=rosy is not a colour: give a name such as white, or '#rrggbb'"):
        interpolate(configured(input=folder, output=tmp_path / "x.mp4", background="rosy"))


def test_training_sees_no_hidden_colours(tmp_path: Path) -> None:
    path = saved(tmp_path / "in", squares(1)) / "0.png"
    np.testing.assert_array_equal(read_image(path), flatten(squares(1)[0]))
    np.testing.assert_array_equal(read_image(path, alpha=True), squares(1)[0])


@pytest.mark.parametrize("ending", [".tif", ".exr"])
@pytest.mark.parametrize("channels", [3, 4])
def test_floats_come_back_as_they_were(tmp_path: Path, ending: str, channels: int) -> None:
    image = (5 * np.random.default_rng(0).random((20, 30, channels))).astype(np.float32)
    image[..., 3:] = image[..., 3:].clip(0.01, 1)
    (tmp_path / f"a{ending}").write_bytes(encode_image(image, ending))
    read = read_image(tmp_path / f"a{ending}", alpha=True)
    np.testing.assert_allclose(read, image, rtol=1e-6 if channels == 4 else 0)
    (tmp_path / f"b{ending}").write_bytes(encode_image(np.full_like(image, np.nan), ending))
    with pytest.raises(DataError, match="holds values that are not finite"):
        read_image(tmp_path / f"b{ending}")


@pytest.mark.parametrize("frames", ["tif", "exr"])
def test_bright_values_survive_interpolation(tmp_path: Path, frames: str, capsys: pytest.CaptureFixture) -> None:
    images = [3 * image.astype(np.float32) / 255 for image in pan(2)]
    folder = saved(tmp_path / "in", images, f".{frames}")
    interpolate(configured(input=folder, output=tmp_path / "out", factor=2, frames=frames))
    assert "clipped" not in capsys.readouterr().err
    found = [read_image(path) for path in sorted((tmp_path / "out").iterdir())]
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_array_equal(found[2], images[1])
    assert found[1].max() > 2
    interpolate(configured(input=folder, output=tmp_path / "png", factor=2))
    assert (
        "png holds integers: values below 0 and above 1 are clipped (exr and tif keep them)" in capsys.readouterr().err
    )
    np.testing.assert_array_equal(
        read_image(tmp_path / "png" / "000000.png"), (images[0].clip(0, 1) * 65535).round().astype(np.uint16)
    )
    interpolate(configured(input=folder, output=tmp_path / "out.mp4", factor=2))
    assert "yuv420p10le holds 10 bits: values below 0 and above 1 are clipped" in capsys.readouterr().err


def test_sixteen_bits_that_become_eight_are_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = saved(tmp_path / "in", [image.astype(np.uint16) * 257 for image in pan(2)])
    interpolate(configured(input=folder, output=tmp_path / "out", factor=2, frames="jpg"))
    assert "16 bits become 8 (jpg); png and tif keep them" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_the_colour_profile_of_images_is_kept_or_named(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for index, image in enumerate(pan(2)):
        Image.fromarray(image).save(tmp_path / f"{index}.png", icc_profile=profile)
    pair = [str(tmp_path / f"{index}.png") for index in range(2)]
    interpolate(configured(input=pair, output=tmp_path / "out", factor=2, frames=ending[1:]))
    for path in (tmp_path / "out").iterdir():
        with Image.open(path) as image:
            assert image.info["icc_profile"] == profile
    interpolate(configured(input=pair, output=tmp_path / "out.mp4", factor=2))
    assert "videos do not hold the images' colour profile (ICC)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pixel_format", "codec", "expected", "said"),
    [
        ("yuv444p", "h264", "yuv444p", None),
        ("gbrp", "h264", "yuv444p", None),
        ("bgr0", "h265", "gbrp", None),
        ("yuv422p10le", "h264", "yuv422p10le", None),
        ("yuv444p", "av1", "yuv420p", "colours are kept at a lower resolution (yuv420p)"),
        ("yuv420p10le", "mpeg4", "yuv420p", "10 bits become 8 (yuv420p)"),
    ],
)
def test_the_codec_keeps_what_it_can_of_the_pixel_format(
    tmp_path: Path, pixel_format: str, codec: str, expected: str, said: str | None, capsys: pytest.CaptureFixture
) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1" if pixel_format != "gbrp" else "libx264rgb", rate=24)
        stream.height, stream.width, stream.pix_fmt = SIDE, 96, pixel_format if pixel_format != "gbrp" else "rgb24"
        for image in pan(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    interpolate(configured(input=tmp_path / "in.mkv", output=tmp_path / "out.mp4", codec=codec, factor=2))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == expected
    err = capsys.readouterr().err
    assert said in err if said else "colours" not in err


def test_exr_of_other_programs(tmp_path: Path) -> None:
    """Half floats, as most programs write."""
    image = (4 * np.random.default_rng(0).random((16, 24, 3))).astype(np.float32)
    encoder: Any = av.codec.CodecContext.create("exr", "w")
    encoder.height, encoder.width, encoder.pix_fmt, encoder.time_base = 16, 24, "gbrpf32le", 1
    encoder.options = {"format": "half"}
    frame = av.VideoFrame.from_ndarray(image, format="gbrpf32le")
    (tmp_path / "a.exr").write_bytes(b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)])))
    np.testing.assert_allclose(read_image(tmp_path / "a.exr"), image, rtol=1e-3, atol=1e-3)
    assert cv2.imdecode(np.fromfile(tmp_path / "a.exr", np.uint8), cv2.IMREAD_UNCHANGED) is None  # why FFmpeg reads it
