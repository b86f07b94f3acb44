"""Curricula: phases in order, each from the one before, resumed inside of a phase; ATM-VFI's four as published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from tests.helpers.in_process import SMALL_ATM, composed, read_checkpoint, rows
from tests.helpers.layouts import fabricate
from tests.helpers.recorder import Recorder
from vfi_train.errors import UserError
from vfi_train.optim.parameters import optimizer_state_by_name
from vfi_train.training.build import build_trainable
from vfi_train.training.command import plan_phases, train
from vfi_train.training.curriculum import set_remaining_steps
from vfi_train.training.curriculum_table import describe
from vfi_train.training.dry_run import count_trainable
from vfi_train.training.plan import TrainingPlan

SHORT = """# @package _global_
defaults: [base, _self_]
curriculum:
  phases:
    - name: first
      overrides: [trainer.max_steps=4, "data.train_samples=${curriculum.samples}"]
      freeze: ["decoder4.*"]
      weights: ifrnet_tiny_synthetic
    - name: second
      overrides: [trainer.max_steps=7, data.batch_size=2, optimizer.weight_decay=0.1]
      train: ["decoder*"]
      weights: previous:last
      optimizer_state: previous
      monitor: val/ssim
  samples: 12
"""
TINY = (
    "experiment=quickstart", "optimizer=adamw", "optimizer.lr=1e-3", "curriculum=short", "data.size=32",
    "data.batch_size=4", "data.num_workers=0", "data.val_samples=2", "schedule.warmup_steps=0", "schedule.steps=null",
    "log_every=1", "logger=csv", "report=false", "checkpoint_every=2", "validate_every=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The override that finds `curriculum=short`."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "curriculum").mkdir()
    (folder / "curriculum" / "short.yaml").write_text(SHORT)
    return f"hydra.searchpath=[file://{folder}]"


def train_short(folder: Path, short: str, *overrides: str) -> Path:
    train(composed(short, *TINY, f"runs={folder / 'runs'}", *overrides))
    return folder / "runs" / "quickstart"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, short: str) -> Path:
    return train_short(tmp_path_factory.mktemp("undisturbed"), short)


def last(run: Path) -> dict[str, Any]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")


def states_of(run: Path) -> dict[str, dict[str, Tensor]]:
    """The state of a run's optimizer at its end, by name."""
    return optimizer_state_by_name(last(run)["optimizer_states"][0])


def weights(run: Path) -> dict[str, Tensor]:
    return {name.removeprefix("architecture."): tensor for name, tensor in last(run)["state_dict"].items()}


def test_a_phase_starts_from_the_one_before_and_moves_nothing_else(undisturbed: Path) -> None:
    first, second = undisturbed / "first", undisturbed / "second"
    before, after = weights(first), weights(second)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("decoder")}
    # Frozen tensors have no state; what the first phase froze starts empty in the second.
    assert set(states_of(first)) == {name for name in before if not name.startswith("decoder4.")}
    assert set(states_of(second)) == moved
    assert {float(state["step"]) for state in states_of(first).values()} == {4}
    steps = {name: float(state["step"]) for name, state in states_of(second).items()}
    assert {steps[name] for name in steps if name.startswith("decoder4.")} == {7}
    assert {steps[name] for name in steps if not name.startswith("decoder4.")} == {11}


def test_each_phase_keeps_the_best_by_its_own_monitor(undisturbed: Path) -> None:
    for phase, monitor in (("first", "val/psnr"), ("second", "val/ssim")):
        best = read_checkpoint(undisturbed / phase / "checkpoints" / "best.ckpt")
        (state,) = [block for name, block in best["callbacks"].items() if name.startswith("ModelCheckpoint")]
        assert state["monitor"] == monitor
        scores = {int(row["step"]): float(row[monitor]) for row in rows(undisturbed / phase) if row[monitor]}
        assert best["global_step"] == max(scores, key=scores.__getitem__)
        assert float(state["best_model_score"]) == pytest.approx(max(scores.values()))


def test_steps_are_counted_from_one_in_each_phase(undisturbed: Path) -> None:
    assert [row["step"] for row in rows(undisturbed / "first")] == [str(n) for n in range(1, 5)]
    assert [row["step"] for row in rows(undisturbed / "second")] == [str(n) for n in range(1, 8)]


def test_a_finished_phase_is_not_run_again(undisturbed: Path, short: str, capsys: pytest.CaptureFixture) -> None:
    files = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.ckpt")}
    assert len(files) >= 4
    train_short(undisturbed.parent.parent, short)
    assert capsys.readouterr().out.count("is finished: steps") == 2
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*.ckpt")} == files


@pytest.mark.slow
def test_stopped_in_both_phases_it_ends_with_the_same_bits(
    undisturbed: Path, short: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for stop in (3, 6):
        with pytest.raises(RuntimeError, match="stopped by the test"):
            train_short(tmp_path, short, Recorder.begin(stop_at=stop), "callbacks.progress.every_seconds=0.001")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert any("samples/s" in line and "waiting for data" in line for line in lines)
    assert all("all phases" in line for line in lines if "/4, " in line)  # of the first phase: the second comes
    assert not any("all phases" in line for line in lines if "/7, " in line)
    run = train_short(tmp_path, short, Recorder.begin())
    assert len(Recorder.weights) == 2  # steps 6 and 7 of the second phase: the step before a validation is saved
    for phase in ("first", "second"):
        expected, got = last(undisturbed / phase), last(run / phase)
        for name, tensor in expected["state_dict"].items():
            assert torch.equal(tensor, got["state_dict"][name]), name
        states = states_of(run / phase)
        for name, state in states_of(undisturbed / phase).items():
            assert all(torch.equal(value, states[name][key]) for key, value in state.items()), name
        losses = [[row["step"], row["train/loss"], row["val/psnr"]] for row in rows(undisturbed / phase)]
        assert losses == [[row["step"], row["train/loss"], row["val/psnr"]] for row in rows(run / phase)]


@pytest.mark.slow
def test_only_some_phases(undisturbed: Path, short: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"phase second starts from phase first, which has not been trained"):
        train_short(tmp_path, short, "curriculum.start=second")
    run = train_short(tmp_path, short, "curriculum.only=[first]")
    assert not (run / "second").exists()
    train_short(tmp_path, short, "curriculum.start=second")
    assert all(
        torch.equal(tensor, weights(run / "second")[name]) for name, tensor in weights(undisturbed / "second").items()
    )
    elsewhere = train_short(
        tmp_path / "elsewhere", short, "curriculum.only=[second]", f"weights='{undisturbed / 'first'}:last'",
        "+curriculum.overrides.second=['trainer.max_steps=1']",
    )  # fmt: skip
    assert not (elsewhere / "first").exists()
    steps = {float(state["step"]) for state in states_of(elsewhere / "second").values()}
    assert steps == {1}  # weights from elsewhere: the optimizer starts afresh


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ("[]", "curriculum.phases is empty"),
        ("[{overrides: []}]", "entry 1 needs a name"),
        ("[{name: a, override: []}]", "there is no key 'override' in phase a: did you mean 'overrides'"),
        ("[{name: a/b}]", "'a/b' cannot be a phase's name"),
        ("[{name: a}, {name: a}]", "two phases are called a"),
        ("[{name: a, weights: previous}]", "phase a: weights: previous, but there is no phase before it"),
        ("[{name: a, optimizer_state: old}]", "phase a: optimizer_state: old is neither fresh nor previous"),
        (
            "[{name: a, overrides: [trainer.max_step=3]}]",
            "phase a: there is no key 'max_step' in trainer: did you mean",
        ),
        ("[{name: a, overrides: [data=vimeo]}]", "phase a: there is no data=vimeo: did you mean 'video'"),
        ("[{name: a, overrides: [trainer.max_steps=x]}]", "phase a: trainer.max_steps=x is not an integer"),
        ("[{name: a, overrides: ['weights=x']}]", "phase a: write `weights:` in the phase itself"),
        ("[{name: a, overrides: ['seed=${curriculum.sede}']}]", "curriculum.sede is not set"),
        ("[{name: a, train: ['decodr4.*']}]", "phase a: train: no parameter of the network is called 'decodr4.*'"),
        (
            "[{name: a, overrides: [experiment=ifrnet_vimeo, data.root=/nowhere]}]",
            "phase a: there is no folder data.root=/nowhere",
        ),
    ],
)
def test_a_mistake_names_the_phase(phases: str, message: str, short: str, tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "curriculum"
    folder.mkdir(parents=True)
    (folder / "wrong.yaml").write_text(
        f"# @package _global_\ndefaults: [base, _self_]\ncurriculum:\n  phases: {phases}\n"
    )
    search = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
    tiny = [override for override in TINY if not override.startswith(("curriculum=", "data."))]
    with pytest.raises(UserError) as caught:
        train(composed(search, *tiny, "curriculum=wrong", f"runs={tmp_path / 'runs'}"))
    assert message in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["only=[thrid]", "start=thrid", "overrides={thrid: []}"])
def test_a_phase_that_is_not_there(key: str, short: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"curriculum\.\w+ names a phase 'thrid': "):
        train_short(tmp_path, short, f"++curriculum.{key}")


# ------------------------------------------------------------------------------------------------------- ATM-VFI


def phases_of(*overrides: str) -> dict[str, TrainingPlan]:
    return {plan.folder.name: plan for plan in plan_phases(composed("dry_run=true", *overrides))}


def numbers(plan: TrainingPlan) -> tuple[Any, ...]:
    config = OmegaConf.create(dict(plan.config))
    batches = [data.batch_size for data in plan.datasets]
    return (
        batches, config.trainer.max_steps, config.schedule.steps, config.optimizer.lr, config.schedule.floor,
        config.schedule.warmup_steps, config.optimizer.weight_decay, config.model.global_motion,
        plan.optimizer_state is not None,
    )  # fmt: skip


def test_atm_vfis_phases_by_the_author() -> None:
    phases = phases_of("experiment=atmvfi_curriculum")
    assert {name: numbers(plan) for name, plan in phases.items()} == {
        "local": ([24], 320_000, None, 1.5e-4, 7.5e-5, 2000, 1e-4, False, False),
        "global": ([8], 42_000, None, 1e-4, 5e-5, 2000, 1e-4, True, False),
        "joint": ([20, 6], 420_000, 150 * (51_312 // 20 + 4_408 // 6), 4e-5, 1e-5, 500, 1e-4, True, True),
        "pct": ([16, 5], 613_200, 150 * (51_312 // 16 + 4_408 // 5), 4e-5, 1e-5, 500, 1e-4, True, True),
    }
    assert phases["joint"].config["schedule"]["steps"] == 494_850
    starts = [plan.weights for plan in phases.values()]
    assert starts == [None, *(f"atmvfi_curriculum/{name}" for name in ("local", "global", "joint"))]
    terms = {name: sorted(loss.name for loss in plan.losses) for name, plan in phases.items()}
    assert terms.pop("pct") == ["laplacian", "perceptual", "warping"]
    assert set(map(tuple, terms.values())) == {("laplacian", "warping")}
    levels = [plan.config["loss"]["terms"]["laplacian"]["levels"] for plan in phases.values()]
    assert levels == [3, 2, 2, 2]
    assert phases["global"].config["data"]["val_split"]["split"] == "hard"
    for name in ("joint", "pct"):
        split = phases[name].config["data"]["val_split"]
        assert list(split) == ["snu_film", "vimeo90k"]
        assert (split["snu_film"]["split"], split["vimeo90k"]["val_split"]) == ("hard", "test")
        assert (split["snu_film"]["val_batch_size"], split["vimeo90k"]["val_batch_size"]) == (1, None)
        assert phases[name].best == ("max", "val/psnr_vimeo90k")
    published = [plan.config["published"]["psnr"] for plan in phases.values()]
    assert published == [36.2891, 30.2463, 36.3847, 35.9552]


@pytest.mark.slow
def test_a_dry_run_prints_the_phases_as_one_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    train(composed("experiment=atmvfi_curriculum", "model=atm_vfi_lite", "dry_run=true", f"runs={tmp_path / 'runs'}"))
    output = capsys.readouterr().out
    assert output.index("local") < output.index("global") < output.index("joint") < output.index("pct")
    assert [output.count(f"{n} tensors") for n in (172, 60, 232)] == [1, 1, 2]
    assert [output.count(count) for count in ("6,058,924", "5,916,599")] == [1, 1]
    assert not (tmp_path / "runs").exists()


def test_the_remaining_steps_of_later_phases() -> None:
    plans = set_remaining_steps(list(phases_of("experiment=atmvfi_curriculum").values()))
    later = {plan.folder.name: plan.later_steps for plan in plans}
    assert later == {"local": 42_000 + 420_000 + 613_200, "global": 420_000 + 613_200, "joint": 613_200, "pct": 0}


def test_check_looks_at_each_phase(
    short: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    train_short(tmp_path, short, "check=true")
    output = capsys.readouterr().out
    assert output.index("phase first") < output.index("phase second")
    assert "FAILS" not in output
    assert output.count("ifrnet_tiny_synthetic.safetensors fits the network") == 1
    assert re.search(r"the network starts from \S*first\S*, which is trained before", output)
    assert all(re.search(rf"runs/\S+/{phase} is new", output) for phase in ("first", "second"))
    assert not (tmp_path / "runs").exists()


def test_atm_vfis_phases_by_the_code() -> None:
    phases = phases_of("experiment=atmvfi_curriculum", "curriculum=atm_vfi_code", "model=atm_vfi_lite")
    assert {name: numbers(plan) for name, plan in phases.items()} == {
        "local": ([24], 150 * 2138, None, 2e-4, 1e-4, 2000, 1e-4, False, False),
        "global": ([24], 150 * (4408 // 24), None, 2e-4, 1e-4, 2000, 1e-4, True, False),
        "joint": ([16, 5], 613_200, 613_200, 4e-5, 1e-5, 500, 1e-4, True, True),
        "pct": ([16, 5], 613_200, 613_200, 4e-5, 1e-5, 500, 1e-4, True, True),
    }
    assert phases["joint"].config["published"]["psnr"] == 35.9854


def trainable(plan: TrainingPlan) -> tuple[int, int, int]:
    return count_trainable(build_trainable(plan))


def test_atm_vfis_phases_train_what_they_should() -> None:
    """Tensors and parameters of both networks, as counted in the published ones."""
    base = phases_of("experiment=atmvfi_curriculum")
    assert trainable(base["local"]) == (172, 23_801_644, 51_564_259)
    lite = phases_of("experiment=atmvfi_curriculum", "model=atm_vfi_lite", "curriculum.pct_trains=[refinement.*]")
    assert trainable(lite["local"]) == (172, 6_058_924, 11_975_523)
    assert trainable(lite["global"]) == (60, 5_916_599, 11_975_523)
    assert trainable(lite["joint"]) == (232, 11_975_523, 11_975_523)
    refinement = 21_952 + 9_280 + 120_064 + 627_456 + 69_888 + 51_392 + 8_256 + 19_366  # proj, down, up, head
    assert trainable(lite["pct"])[1] == refinement
    row = describe(lite["global"])
    assert "60 tensors\n5,916,599" in row[5]
    assert "X4K1000FPS: 8, 448x448" in row[1]
    assert row[7] == "every 551 steps, on SNUFilm\nbest by max val/psnr"
    assert re.match(r"about [\d.]+ GiB on each device, [\d.]+ GiB of it activations", row[8])


@pytest.mark.slow
def test_atm_vfis_curriculum_trains_on_published_layouts(backbones: Path, tmp_path: Path) -> None:
    roots = [
        f"roots.{name}={fabricate(name, tmp_path / 'data', size=(128, 160), clips=2)}"
        for name in ("vimeo90k", "x4k1000fps", "snu_film")
    ]
    train(composed(*SMALL_ATM, *roots, f"backbones={backbones}", f"runs={tmp_path / 'runs'}"))
    run = tmp_path / "runs" / "atmvfi_curriculum"
    at = {phase: weights(run / phase) for phase in ("local", "global", "joint", "pct")}
    states = {phase: states_of(run / phase) for phase in at}
    glob = {name for name in at["local"] if name.startswith("global_")}
    local = set(at["local"]) - glob
    trained = {name for name in at["local"] if name in states["joint"]}
    assert len(trained & local) == 172
    assert len(trained & glob) == 60
    for phase in ("joint", "pct"):
        row = rows(run / phase)[-1]
        assert {"val/psnr", "val/psnr_vimeo90k", "val/psnr_snu_film", "loss/vimeo90k", "loss/x4k1000fps"} <= set(row)
    # What a phase does not train has no state and keeps its bits.
    assert set(states["local"]) == trained & local
    assert set(states["global"]) == trained & glob
    best = read_checkpoint(run / "local" / "checkpoints" / "best.ckpt")["state_dict"]
    assert all(torch.equal(at["global"][name], best[f"architecture.{name}"]) for name in local)
    fresh = fresh_network()
    assert all(torch.equal(at["local"][name], fresh[name]) for name in glob)
    assert any(not torch.equal(at["global"][name], at["local"][name]) for name in glob)
    # The third phase takes the second's states: two steps and two more; the rest starts empty.
    steps = {name: float(state["step"]) for name, state in states["joint"].items()}
    assert {steps[name] for name in trained & glob} == {4}
    assert {steps[name] for name in trained & local} == {2}
    assert {float(state["step"]) for state in states["pct"].values()} == {4, 6}
    assert sum("perceptual" in name for name in rows(run / "pct")[0]) == 2  # content and style


def fresh_network() -> dict[str, Tensor]:
    """The network's weights before any training."""
    config = composed(*SMALL_ATM)
    L.seed_everything(config.seed, verbose=False)
    return dict(instantiate(config.model, _convert_="all").state_dict())
