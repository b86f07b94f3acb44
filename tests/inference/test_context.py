"""Four frames through padding, channel order, flips, tiles, batches, videos and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.golden_cases import frame
from tests.helpers.mean_networks import Mean
from tests.helpers.videos import configured, frames, pan, read_rgb, write_video
from vfi_train.architectures import Encoding, create_model
from vfi_train.contract import Prediction
from vfi_train.errors import UserError
from vfi_train.evaluate.benchmarks import open_split
from vfi_train.evaluate.samples import Pair
from vfi_train.evaluate.samples import pairs as read_pairs
from vfi_train.inference.batch_predictor import BatchPredictor, ImagePair
from vfi_train.inference.graphs import metadata_of
from vfi_train.inference.interpolator import Interpolator
from vfi_train.interpolate import job
from vfi_train.interpolate.command import interpolate
from vfi_train.interpolate.frame_stream import FrameStream
from vfi_train.interpolate.frame_times import make_plan
from vfi_train.interpolate.pairs import PairClassifier, pairs, with_context


@dataclass
class FourFrames(Encoding):
    before: Tensor
    after: Tensor


class Cubic(Mean):
    """The cubic through four frames at the middle: (9 (frame0 + frame1) - before - after) / 16."""

    takes_context = True

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0, before=None, after=None) -> Encoding:
        before, after = frame0 if before is None else before, frame1 if after is None else after
        return FourFrames(frame0, frame1, scale, before, after)

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        e = encoding
        return Prediction(cubic(e.before, e.frame0, e.frame1, e.after))


class BGRCubic(Cubic):
    """Its weights differ by channel, so that the order counts."""

    channel_order = "bgr"

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        weights = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)  # blue, green, red
        return Prediction(encoding.before * weights + encoding.after * (1 - weights))


def cubic(before: Any, frame0: Any, frame1: Any, after: Any) -> Any:
    return (9 * (frame0 + frame1) - before - after) / 16


def four(height: int = 24, width: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return tuple(0.3 + 0.4 * frame(height, width, time, 3) for time in (-1.0, 0.0, 1.0, 2.0))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "options", [{}, {"tta": "flip_hw"}, {"tta": "flip_h", "tta_batched": False}, {"tile": 24, "tile_overlap": 8}]
)
@pytest.mark.parametrize("size", [(24, 40), (21, 37)])
def test_all_four_frames_go_through_what_surrounds_the_network(options: dict, size: tuple[int, int]) -> None:
    before, frame0, frame1, after = four(*size)
    got = Interpolator(Cubic(), **options).predict(frame0, frame1, before=before, after=after).frame
    torch.testing.assert_close(got, cubic(before, frame0, frame1, after), rtol=0, atol=1e-6)


def test_images_are_taken_too_and_a_missing_neighbour_is_the_nearest() -> None:
    before, frame0, frame1, after = (x[0].movedim(0, -1).numpy() for x in four())
    interpolate = Interpolator(Cubic())
    np.testing.assert_allclose(
        interpolate(frame0, frame1, before=before, after=after), cubic(before, frame0, frame1, after), atol=1e-6
    )
    np.testing.assert_allclose(
        interpolate(frame0, frame1, after=after), cubic(frame0, frame0, frame1, after), atol=1e-6
    )
    np.testing.assert_allclose(interpolate(frame0, frame1), (frame0 + frame1) / 2, atol=1e-6)


def test_bgr_networks_see_neighbours_in_bgr() -> None:
    before, frame0, frame1, after = four()
    got = Interpolator(BGRCubic()).predict(frame0, frame1, before=before, after=after).frame
    torch.testing.assert_close(got[:, 2], before[:, 2])
    torch.testing.assert_close(got[:, 0], after[:, 0])


def test_several_times_share_the_neighbours() -> None:
    before, frame0, frame1, after = four()
    times = [0.25, 0.5, 0.75]
    torch.manual_seed(0)
    interpolate = Interpolator("ifrnet_context")

    def predicted() -> list[Tensor]:
        with torch.no_grad():
            return [p.frame for p in interpolate.stream(frame0, frame1, times, before=before, after=after)]

    one_by_one, interpolate.times_at_once = predicted(), 3
    for one, other in zip(one_by_one, predicted(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "options", "times", "message"),
    [
        (Mean, {}, [0.5], "Mean takes two frames, none before or after them"),
        (Cubic, {"recursive": True}, [0.25], "no frames half an interval before and after"),
    ],
)
def test_what_takes_no_neighbours_is_one_sentence(network: type, options: dict, times: list, message: str) -> None:
    before, frame0, frame1, after = four()
    with pytest.raises(UserError, match=message):
        next(Interpolator(network(), **options).stream(frame0, frame1, times, before=before, after=after))
    with pytest.raises(UserError, match="takes four frames, and exported graphs only two"):
        metadata_of(Cubic(), "cubic", "none", None, 1)


def test_other_backends_leave_four_frames_to_pytorch() -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    before, frame0, frame1, after = four(32, 48)
    model = create_model("ifrnet_context").eval()
    notes: list[str] = []
    interpolate = Interpolator(model, backend="onnxruntime")
    interpolate.backend.note = notes.append
    with torch.no_grad():
        got = interpolate.predict(frame0, frame1, before=before, after=after).frame
        expected = Interpolator(model).predict(frame0, frame1, before=before, after=after).frame
    assert torch.equal(got, expected)
    assert notes == ["backend=onnxruntime does not take frames before and after: PyTorch computes these frames"]


def test_halving_to_the_middle_needs_no_smaller_interval() -> None:
    before, frame0, frame1, after = four()
    got = Interpolator(Cubic(), recursive=True).predict(frame0, frame1, before=before, after=after).frame
    torch.testing.assert_close(got, cubic(before, frame0, frame1, after))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_stream_gives_each_pair_its_neighbours_but_none_over_a_cut(batch: int) -> None:
    images = [*pan(4), *pan(3, seed=5)]
    plan, classifier = make_plan(factor=2), PairClassifier(16.0, 1.0)
    stream = FrameStream(BatchPredictor(Interpolator(Cubic())), plan, batch=batch)
    items = with_context(pairs(frames(images), plan, classifier), classifier)
    got = [output.frame.image.astype(float) for output in stream.outputs(items)]
    a, b, c, d, e, f, g = (image.astype(float) for image in images)
    expected = [cubic(a, a, b, c), cubic(a, b, c, d), cubic(b, c, d, d), d, cubic(e, e, f, g), cubic(e, f, g, g)]
    assert len(got) == 13
    for one, other in zip(got[1::2], expected, strict=True):
        np.testing.assert_allclose(one, other.clip(0, 255), atol=0.51)


def test_pairs_without_planned_frames_are_looked_at_for_cuts_too() -> None:
    images = [*pan(3), *pan(3, seed=5)]
    plan, classifier = make_plan(factor=1), PairClassifier(16.0, 1.0)  # nothing to predict
    items = list(with_context(pairs(frames(images), plan, classifier), classifier))
    found = [(p.before.image, p.after.image) for p in items[:-1]]  # type: ignore[union-attr]
    places = [(0, 2), (0, 2), (1, 4), (3, 5), (3, 5)]  # the third pair is the cut itself
    for (before, after), (first, last) in zip(found, places, strict=True):
        assert before is images[first]
        assert after is images[last]


def test_a_video_is_interpolated_from_four_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "in.mkv", pan(5), codec="ffv1", pixel_format="yuv444p")
    images = [image.astype(float) for image in read_rgb(path)]
    monkeypatch.setattr(job, "load_weights", lambda *_: None)
    given: Any = configured(input=path, output=tmp_path / "out.mkv", codec="ffv1", pixel_format="yuv444p", factor=2)
    given.model._target_ = f"{__name__}.Cubic"
    interpolate(given)
    got = read_rgb(tmp_path / "out.mkv")
    np.testing.assert_allclose(got[3].astype(float), cubic(*images[:4]).clip(0, 255), atol=2.5)
    given.factor, given.recursive, given.output = 4, True, str(tmp_path / "other.mkv")
    with pytest.raises(UserError, match="a network of four frames takes evenly spaced ones"):
        interpolate(given)
    assert not (tmp_path / "other.mkv").exists()


def test_benchmarks_give_four_frames() -> None:
    options = {"_target_": "datamodules.synthetic.Synthetic", "size": 32, "batch_size": 1, "val_samples": 3}
    source, _ = open_split(options, takes_context=True)
    found = [item for item in read_pairs(source, range(3), 1) if isinstance(item, Pair)]
    given = [ImagePair(p.frame0, p.frame1, [0.5], **p.context) for p in found]
    _, predicted = next(iter(BatchPredictor(Interpolator(Cubic())).predict(given)))
    for pair, got in zip(found, predicted, strict=True):
        exact = cubic(
            *(x.astype(float) / 255 for x in (pair.context["before"], pair.frame0, pair.frame1, pair.context["after"]))
        )
        np.testing.assert_allclose(got.movedim(0, -1).numpy(), exact.clip(0, 1), atol=1e-5)
    plain: Any = open_split(options)[0].sample(0, None)
    assert not {"before", "after"} & set(plain)
