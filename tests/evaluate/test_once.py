"""Every sample counts once, whatever the batches, processes, interruptions and broken files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from tests.helpers.direct_evaluation import predicted, psnr, samples
from tests.helpers.evaluation import evaluated
from tests.helpers.layouts import FAULTS, fabricate, frame, write
from tests.helpers.programs import run_program
from tests.helpers.toy_benchmark import ToyInterrupted
from vfi_train.errors import UserError
from vfi_train.evaluate.benchmarks import open_split
from vfi_train.evaluate.measure import check_once, missing, pair_of, shard
from vfi_train.evaluate.options import read_benchmark
from vfi_train.evaluate.results import read_results
from vfi_train.evaluate.resume_log import ResumeLog
from vfi_train.inference.interpolator import Interpolator
from vfi_train.metrics.motion import temporal_difference

TINY = ("model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "num_examples=0")
TOY = ("model=ifrnet_tiny", "model._target_=tests.helpers.toy_benchmark.ifrnet", "num_examples=0")


def scores(folder: Path) -> dict[str, dict[str, float]]:
    (result,) = read_results(folder)
    keys = [row["key"] for row in result.samples]
    assert len(keys) == len(set(keys))
    return {row["key"]: row["scores"] for row in result.samples}


@pytest.mark.slow
def test_batches_and_processes_change_nothing(tmp_path: Path, backbones: Path) -> None:
    """Seven times between 13 pairs, one in two processes: an odd number of samples and of pairs."""
    root = fabricate("gopro", tmp_path / "data", size=(32, 48))
    given = [*TINY, "benchmark=gopro", f"root={root}", "+benchmark.options.val_transforms=[]", "name=x"]
    given += ["metrics=[psnr,ssim,tof,flolpips_dis]", f"backbones={backbones}"]
    evaluated(tmp_path / "one", *given)
    evaluated(tmp_path / "four", *given, "batch=4", "workers=1")
    done = run_program(
        "vfi_train.evaluate", *given, "batch=4", "devices=2", "device=cpu", f"output={tmp_path / 'two'}", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    one, four, two = (scores(tmp_path / name / "x") for name in ("one", "four", "two"))
    assert len(one) == 77
    strata = [read_results(tmp_path / name / "x")[0].strata() for name in ("four", "two")]
    assert [sum(row["samples"] for row in rows) for rows in strata[0].values()] == [77] * 3  # motion, time, scene
    for kind, rows in strata[0].items():
        for first, second in zip(rows, strata[1][kind], strict=True):
            assert second == pytest.approx(first, abs=1e-6)
    assert len(list((tmp_path / "two" / "samples").glob("*/rows-*.jsonl"))) == 2  # both processes had work
    assert list(four) == list(two) == list(one)
    for key, row in one.items():
        assert two[key] == pytest.approx(four[key], abs=1e-6)
        for name in ("tof", "flolpips_dis"):  # of predictions rounded to 8 bit
            assert four[key].pop(name) == pytest.approx(row.pop(name), abs=1e-3)
        assert four[key] == pytest.approx(row, abs=1e-6)


def test_a_stopped_evaluation_resumes(tmp_path: Path, roots: dict[str, Path]) -> None:
    given = [
        "model=ifrnet_tiny",
        "model._target_=tests.helpers.toy_benchmark.interrupted",
        "benchmark=adobe240",
        "num_examples=0",
    ]
    given += [f"root={roots['adobe240']}", "+benchmark.options.val_transforms=[]", "name=x", "workers=1"]
    ToyInterrupted.calls_left = 9
    with pytest.raises(KeyboardInterrupt):
        evaluated(tmp_path / "stopped", *given)
    (log,) = (tmp_path / "stopped" / "samples").glob("*/rows-0.jsonl")
    lines = log.read_bytes().splitlines(keepends=True)
    assert 5 <= len(lines) <= 9  # predictions without scores are lost
    log.write_bytes(b"".join(lines)[:-20])  # a kill in the middle of a write
    ToyInterrupted.calls_left = 14 - (len(lines) - 1)  # only these are computed
    evaluated(tmp_path / "stopped", *given)
    assert ToyInterrupted.calls_left == 0
    evaluated(tmp_path / "stopped", *given)  # nothing is left to measure
    ToyInterrupted.calls_left = 1_000_000
    evaluated(tmp_path / "complete", *given)
    assert scores(tmp_path / "stopped" / "x") == scores(tmp_path / "complete" / "x")
    evaluated(tmp_path / "stopped", *given, "resume=false")
    assert ToyInterrupted.calls_left == 1_000_000 - 28


@pytest.mark.slow
def test_sequences_are_measured_as_a_whole(tmp_path: Path, backbones: Path) -> None:
    """The error of motion needs the target before: processes and a stop within a pair change nothing."""
    root = fabricate("gopro", tmp_path / "data", size=(40, 48))
    given = [*TINY, "benchmark=gopro", f"root={root}", "+benchmark.options.val_transforms=[]", "name=x"]
    given += ["metrics=[psnr,tof,flolpips_dis]", f"backbones={backbones}"]
    evaluated(tmp_path / "one", *given)
    evaluated(tmp_path / "stopped", *given)
    source = open_split(read_benchmark("gopro", str(root)).dataset_options("test", {"val_transforms": []}, None))[0]
    shards = [shard(range(len(source)), process, 2, 9, pair_of(source)) for process in (0, 1)]
    assert sorted(map(len, shards)) == [35, 42]
    assert not {source.pair(i) for i in shards[0]} & {source.pair(i) for i in shards[1]}  # type: ignore[attr-defined]
    (log,) = (tmp_path / "stopped" / "samples").glob("*/rows-0.jsonl")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:10]))  # three targets of the second pair
    evaluated(tmp_path / "stopped", *given)
    one, stopped = (scores(tmp_path / name / "x") for name in ("one", "stopped"))
    assert stopped == one
    assert len(one) == 77
    first = sorted(one)[:7]
    network = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic")
    video = next(folder for folder in sorted((root / "test").iterdir()) if first[0].startswith(folder.name))
    frames = [cv2.imread(str(path))[..., ::-1] for path in sorted(video.iterdir())[:9]]
    predicted = [frames[0], *(network(frames[0], frames[8], k / 8) for k in range(1, 8))]
    assert [one[key]["tof"] for key in first] == pytest.approx(temporal_difference(predicted, frames[:8]), abs=1e-4)


def test_sequences_that_lack_frames_are_noted(tmp_path: Path, roots: dict[str, Path]) -> None:
    """Not where there is one frame between two inputs."""
    given = [*TOY, "metrics=[tof]", "samples=2"]
    (pair,) = evaluated(tmp_path, *given, "benchmark=ucf101", f"root={roots['ucf101']}")
    eighths = ["benchmark=adobe240", f"root={roots['adobe240']}", "+benchmark.options.val_transforms=[]"]
    (few,) = evaluated(tmp_path, *given, *eighths)
    assert not pair.notes
    assert few.notes[-1] == "tOF: of the sequences of the chosen samples, which lack the frames between them"


def test_another_measurement_has_another_log(tmp_path: Path) -> None:
    names = set()
    for identity in ({"a": 1}, {"a": 2}, {"a": 1, "settings": {"scale": 0.5}}):
        log = ResumeLog(tmp_path, "x", identity)
        assert log.read() == []
        log.append([{"index": 0, "key": "k", "scores": {"psnr": float("inf")}}])
        log.close()
        names.add(log.folder.name)
        assert ResumeLog(tmp_path, "x", identity).read()[0]["scores"]["psnr"] == float("inf")
    assert len(names) == 3


def test_broken_samples_are_named_counted_and_tried_again(tmp_path: Path) -> None:
    root = fabricate("ucf101", tmp_path, size=(32, 48), clips=5)
    for number, (name, spoil) in enumerate(FAULTS.items(), 1):
        spoil(root / str(number + 1) / ("frame_01_gt.png" if name == "missing" else "frame_02.png"))
    write(root / "5" / "frame_02.png", frame(5, 2, (32, 40)))  # of another size than its neighbours
    given = [*TOY, "benchmark=ucf101", f"root={root}", "name=x", "batch=2"]
    with pytest.raises(UserError, match=r"4 samples could not be read .* sample 2: .*frame_01_gt.png is missing"):
        evaluated(tmp_path / "out", *given)
    (result,) = read_results(tmp_path / "out" / "x")
    assert [row["key"] for row in result.samples] == ["1"]
    assert [(row["key"], row["index"]) for row in result.broken] == [("2", 1), ("3", 2), ("4", 3), ("5", 4)]
    assert "its frame1 is 32x40 pixels and its frame0 32x48" in result.broken[3]["broken"]
    assert not result.complete
    for number in (2, 3, 4, 5):
        for i, name in enumerate(("frame_00", "frame_01_gt", "frame_02")):
            write(root / str(number) / f"{name}.png", frame(number, i, (32, 48)))
    evaluated(tmp_path / "out", *given)
    (result,) = read_results(tmp_path / "out" / "x")
    expected = [psnr(predicted(s), s.target) for s in samples("ucf101", "test", root)]
    assert [row["scores"]["psnr"] for row in result.samples] == pytest.approx(expected, abs=2e-4)
    assert not result.broken


@pytest.mark.parametrize(("size", "processes", "block"), [(0, 2, 1), (1, 3, 4), (77, 2, 7), (100, 3, 105), (13, 4, 1)])
def test_shards_are_disjoint_and_complete(size: int, processes: int, block: int) -> None:
    shards = [shard(range(size), p, processes, block) for p in range(processes)]
    assert sorted(index for own in shards for index in own) == list(range(size))


def test_a_sample_twice_or_never_is_a_bug() -> None:
    rows = [{"index": i} for i in (2, 0, 1)]
    assert [row["index"] for row in check_once(3, rows)] == [0, 1, 2]
    for wrong in (rows[:2], [*rows, rows[0]]):
        with pytest.raises(RuntimeError, match="of 3 samples"):
            check_once(3, wrong)
    assert missing(4, rows) == [3]


def test_results_are_plain_json(tmp_path: Path, roots: dict[str, Path]) -> None:
    """Equal images have an infinite PSNR, which JSON cannot represent."""
    root = fabricate("ucf101", tmp_path, size=(32, 48), clips=2)
    for i in ("00", "01_gt", "02"):
        write(root / "1" / f"frame_{i}.png", frame(1, 0, (32, 48)) * 0)
    given = [
        "model=ifrnet_tiny",
        "model._target_=tests.helpers.toy_benchmark.black",
        "benchmark=ucf101",
        f"root={root}",
    ]
    evaluated(tmp_path / "out", *given, "name=x")
    text = (tmp_path / "out" / "x" / "results.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["results"][0]["averages"]["psnr"] == "inf"
    (result,) = read_results(tmp_path / "out" / "x")
    assert result.averages()["psnr"] == float("inf")
