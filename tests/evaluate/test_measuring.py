"""Reading samples; columns; runs and footage."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import direct_evaluation as direct
from tests.helpers.direct_evaluation import Sample, predicted, psnr, samples, ssim
from tests.helpers.evaluation import evaluated
from tests.helpers.in_process import train_tiny
from tests.helpers.layouts import fabricate, frame, write
from tests.helpers.videos import pan, write_video
from vfi_train.errors import DataError
from vfi_train.evaluate.frame_cache import cache_frames
from vfi_train.evaluate.samples import Broken, Pair, batches, pairs
from vfi_train.evaluate.scorer import Scorer
from vfi_train.metrics.niqe import niqe, read_pristine

TOY = ("model=ifrnet_tiny", "model._target_=tests.helpers.toy_benchmark.ifrnet", "num_examples=0", "name=x")


class Source:
    """Pairs of three targets, then a broken sample, then two pairs of one target of another size."""

    def __init__(self) -> None:
        self.store = self
        self.read_names: list[str] = []

    def read(self, name: str, key: str) -> np.ndarray:
        self.read_names.append(name)
        time.sleep(0.002)
        if name == "bad":
            raise DataError(f"sample {key}: {name} is cut off")
        return np.zeros((4, 4 if len(name) < 4 else 6, 3), np.uint8)

    def __len__(self) -> int:
        return 9

    def sample(self, index: int, rng: Any) -> dict[str, Any]:
        pair, k = divmod(index, 3)
        key = f"{index}"
        if index == 6:
            self.store.read("bad", key)
        wide = "wide" if index > 6 else ""
        names = [f"{pair}a{wide}", f"{index}t{wide}", f"{pair + 1}a{wide}"]
        frame0, target, frame1 = (self.store.read(name, key) for name in names)
        pair_name = str(pair) if index < 6 else f"single {index}"
        at = (k + 1) / 4
        return {"frame0": frame0, "target": target, "frame1": frame1, "time": at, "key": key, "pair": pair_name}


@pytest.mark.parametrize("workers", [0, 3])
def test_targets_of_a_pair_come_together_and_frames_are_read_once(workers: int) -> None:
    source = cache_frames(Source())
    found = list(pairs(source, range(9), workers))
    assert [type(item) for item in found] == [Pair, Broken, Pair, Pair, Pair]  # a broken one does not end a pair
    assert [[target.index for target in item.targets] for item in found if isinstance(item, Pair)] == [
        [0, 1, 2], [3, 4, 5], [7], [8],
    ]  # fmt: skip
    assert [target.time for target in found[0].targets] == [0.25, 0.5, 0.75]  # type: ignore[union-attr]
    assert isinstance(found[1], Broken)
    assert (found[1].index, found[1].reason) == (6, "sample 6: bad is cut off")
    names = [name for name in source.read_names if name != "bad"]
    assert len(names) == len(set(names)) == 3 + 6 + 4  # shared ends, targets, and those of other sizes


def test_batches_hold_what_fits_together() -> None:
    found = list(batches(pairs(Source(), range(9), 0), 4))
    assert [len(item) if isinstance(item, list) else "broken" for item in found] == ["broken", 2, 2]
    single = [item for item in batches(pairs(Source(), range(9), 0), 1) if isinstance(item, list)]
    assert [len(item) for item in single] == [1, 1, 1, 1]
    by_time = [item for item in batches(pairs(Source(), [0, 4, 7, 8], 0), 4, by_time=True) if isinstance(item, list)]
    assert [len(item) for item in by_time] == [1, 1, 1, 1]


def test_what_is_left_out_of_footage_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A frame is missing: the target before it is not half way."""
    ticks = [100 * i for i in range(12) if i != 4]
    write_video(tmp_path / "a.mp4", pan(11), ticks=ticks)
    given = ["benchmark=footage", f"root={tmp_path / 'a.mp4'}", f"+benchmark.options.cache_dir={tmp_path / 'cache'}"]
    (result,) = evaluated(tmp_path / "out", *TOY, *given)
    note = "1 of 5 targets are not at their time (frames unevenly spaced in time) and are left out"
    assert result.notes[0] == note
    assert note in capsys.readouterr().out
    assert len(result.samples) == 4


def test_footage_is_measured_as_it_is(tmp_path: Path) -> None:
    """Nine frames of a folder, with a cut after the fifth: (0 2), (2 4) and (6 8); frame 4 to 6 is over the cut."""
    for k in range(9):
        write(tmp_path / "clip" / f"{k:02d}.png", frame(1 if k < 5 else 2, k, (32, 48)))
    given = ["benchmark=footage", f"root={tmp_path / 'clip'}", f"+benchmark.options.cache_dir={tmp_path / 'cache'}"]
    (result,) = evaluated(tmp_path / "out", *TOY, *given)
    assert result.protocol == "common"
    assert [row["key"] for row in result.samples] == ["clip/000001", "clip/000003", "clip/000007"]
    assert result.notes == ["1 pairs lie over a cut and are left out (data.cut_threshold=16)"]
    for row, at in zip(result.samples, (1, 3, 7), strict=True):
        s = Sample(*(direct.image(tmp_path / "clip" / f"{k:02d}.png") for k in (at - 1, at, at + 1)))
        assert row["scores"]["psnr"] == pytest.approx(psnr(predicted(s), s.target), abs=2e-4)
        assert row["scores"]["ssim"] == pytest.approx(ssim(predicted(s), s.target), abs=2e-6)
    assert {result.sequence(row) for row in result.samples} == {"clip"}
    (quarters,) = evaluated(tmp_path / "out", *TOY, *given, "+benchmark.options.factor=4")
    assert [row["time"] for row in quarters.samples] == [0.25, 0.5, 0.75]


def test_a_folder_of_many_benchmarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ucf101", "middlebury"):
        fabricate(name, tmp_path / "all", size=(32, 48), clips=2)
    found = evaluated(tmp_path / "out", *TOY, "benchmark=all", f"root={tmp_path / 'all'}", "protocol=common")
    assert [(r.split_name, len(r.samples)) for r in found] == [("ucf101/test", 2), ("middlebury/other", 12)]
    output = capsys.readouterr().out
    assert f"left out: vimeo90k: there is no {tmp_path / 'all' / 'vimeo_triplet'}" in output
    root = tmp_path / "all" / "ucf101_interp_ours"
    expected = [psnr(predicted(s), s.target) for s in samples("ucf101", "test", root)]
    assert found[0].averages()["psnr"] == pytest.approx(np.mean(expected), abs=2e-4)


def test_a_list_of_samples_is_measured_and_its_content_counts(tmp_path: Path, roots: dict[str, Path]) -> None:
    """Other content of the same file is another measurement."""
    path, given = tmp_path / "list.txt", [*TOY, "benchmark=snu_film_arb", f"root={roots['snu_film']}"]
    lines = (roots["snu_film"] / "test-medium.txt").read_text().splitlines()
    frames = [line.split() for line in lines]
    for first in (frames[0], frames[1]):
        path.write_text("/".join(first[0].split("/")[-3:-1]))
        found = evaluated(tmp_path / "out", *given, f"+benchmark.options.val_list={path}")
        assert [(r.split, r.expected, r.complete) for r in found] == [
            ("x4", 930, False), ("x8", 2170, False), ("x16", 4650, False),
        ]  # fmt: skip
        videos = {result.sequence(row) for result in found for row in result.samples}
        assert videos == {f"{split}/{path.read_text()}" for split in ("medium", "hard", "extreme")}
        assert all(re.search(r"list\.txt \(sha256 [0-9a-f]{16}\)$", result.data["val_list"]) for result in found)


@pytest.mark.parametrize(("benchmark", "name"), [("snu_film", "hard"), ("snu_film_arb", "x8")])
def test_splits_of_which_a_list_names_nothing_are_left_out(
    benchmark: str, name: str, tmp_path: Path, roots: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A list as of the "-L" subsets: triplets of one split."""
    path, given = tmp_path / "list.txt", [*TOY, f"benchmark={benchmark}", f"root={roots['snu_film']}"]
    given.append(f"+benchmark.options.val_list={path}")
    first, second = (roots["snu_film"] / "test-hard.txt").read_text().splitlines()[:2]
    path.write_text(f"{second}\n")
    (result,) = evaluated(tmp_path / "out", *given)
    assert (result.split, len(result.samples)) == (name, 1 if benchmark == "snu_film" else 7)
    output = " ".join(capsys.readouterr().out.split())
    assert output.count(f"left out: {benchmark}/") == (3 if benchmark == "snu_film" else 2)
    assert "list.txt only names samples of other splits" in output
    path.write_text(f"{second}\n{first.replace('0', '7')}\n")
    with pytest.raises(DataError, match=r"^line 2 of \+\+benchmark.options.val_list=.* names no sample of the "):
        evaluated(tmp_path / "out", *given)


def test_overrides_of_a_protocol_are_in_the_result(tmp_path: Path, roots: dict[str, Path]) -> None:
    root = f"root={roots['ucf101']}"
    (result,) = evaluated(
        tmp_path, *TOY, "benchmark=ucf101", root, "override.tta=flip_h", "override.scale=0.5", "samples=2"
    )
    assert result.protocol == "ifrnet (tta=flip_h, scale=0.5)"
    both = list(samples("ucf101", "test", roots["ucf101"]))
    expected = [psnr(predicted(s, flip_hw=(-2,), scale=0.5), s.target) for s in (both[0], both[-1])]
    assert [row["scores"]["psnr"] for row in result.samples] == pytest.approx(expected, abs=2e-4)
    assert not result.complete


def test_a_run_is_measured_by_name(tmp_path: Path, roots: dict[str, Path]) -> None:
    """Its network with its best checkpoint; the averages are those of the training's last validation."""
    run = train_tiny(tmp_path, "trainer.max_steps=4", "validate_every=2")
    given = [f"runs={run.parent}", "benchmark=synthetic", "num_examples=0", "name=x"]
    options = ["+benchmark.options.size=32", "+benchmark.options.val_samples=4", "+benchmark.options.seed=1234"]
    (result,) = evaluated(tmp_path / "out", "run=quickstart", *given, *options)
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    (best,) = (c["best_model_score"] for k, c in content["callbacks"].items() if "'monitor': 'val/psnr'" in k)
    assert result.label == "quickstart"
    assert result.model == "ifrnet_tiny"
    assert result.averages()["psnr"] == pytest.approx(float(best), abs=1e-4)


def test_niqe_is_that_of_its_function_and_undefined_without_texture(pristine: Path) -> None:
    prediction = torch.rand(2, 3, 96, 192, generator=torch.Generator().manual_seed(0))
    prediction[1] = 0.5
    got = Scorer({"niqe": {"rounded": True}}, niqe_parameters=pristine)(prediction, prediction)["niqe"]
    assert got[0] == niqe(prediction[:1], read_pristine(pristine), rounded=True).item()
    assert np.isnan(got[1])


@pytest.mark.parametrize(("protocol", "time"), [("interpany", "map5"), ("interpany_uniform", "uniform")])
def test_niqe_of_every_frame_between_with_stored_maps_and_with_uniform_ones(
    protocol: str, time: str, pristine: Path, tmp_path: Path
) -> None:
    root = fabricate("vimeo_septuplet", tmp_path, size=(96, 192), clips=1)
    toy = ("model=ifrnet_d", "model._target_=tests.helpers.toy_benchmark.ifrnet_d", "num_examples=0", "name=x")
    given = ("benchmark=vimeo_septuplet", f"root={root}", f"protocol={protocol}", "metrics=[psnr,niqe]")
    (result,) = evaluated(tmp_path / "out", *toy, *given, f"niqe_parameters={pristine}")
    statistics, expected = read_pristine(pristine), []
    for s in samples("vimeo_septuplet", "test", root, time):
        prediction = predicted(s, bgr=True)
        expected.append((psnr(prediction, s.target), niqe(direct.tensor(prediction), statistics, rounded=True).item()))
    assert len(result.samples) == len(expected) == 5
    for row, (decibels, naturalness) in zip(result.samples, expected, strict=True):
        assert row["scores"]["psnr"] == pytest.approx(decibels, abs=2e-4)
        assert row["scores"]["niqe"] == pytest.approx(naturalness, rel=1e-3)


def test_a_truncated_frame_is_broken(tmp_path: Path) -> None:
    """Decoders fill the missing part with grey without an error; the reader rejects it."""
    root = fabricate("ucf101", tmp_path, size=(32, 48), clips=2)
    path = root / "2" / "frame_00.png"
    path.write_bytes(path.read_bytes()[:-12])
    items = list(pairs(cache_frames(_source(root)), range(2), 2))
    assert {type(item): item for item in items}.keys() == {Pair, Broken}


def _source(root: Path) -> Any:
    from datamodules.ucf101 import UCF101

    return UCF101(root=str(root), batch_size=1).val_source()
