"""Published training steps and learning rates, through the experiments' own configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.goldens import golden
from tests.helpers.golden_cases import GOLDENS, Case, frame, load
from tests.helpers.in_process import planned
from tests.helpers.interpany_cases import given as interpany_inputs
from tests.helpers.interpany_cases import target as interpany_target
from tests.helpers.rife_cases import rife_inputs
from tests.helpers.training_batches import amt_step, ifrnet_step
from vfi_train.contract import FRAMES, Batch
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.training.build import build_module
from vfi_train.weights import load_published

# --- training steps


def recipe(experiment: str, case: Case) -> InterpolationModule:
    """The module that `experiment=EXPERIMENT` trains, with the weights of a golden."""
    module = build_module(planned(f"experiment={experiment}", "steps_per_epoch=1"))
    info = case.info.get("weights") if isinstance(case.info.get("weights"), dict) else case.info
    tensors = golden.state_dict(golden.load_manifest(GOLDENS / case.folder), info["gain"], info["salt"])
    load_published(module.architecture, {name: torch.from_numpy(values) for name, values in tensors.items()})
    return module.train()


def rgb(module: InterpolationModule, batch: dict[str, Any]) -> Batch:
    """A golden's batch, which is in the network's order of channels, as a datamodule gives it."""
    flip = module.architecture.channel_order == "bgr"
    return {key: value.flip(1) if flip and key in FRAMES else value for key, value in batch.items()}  # type: ignore[return-value]


def ema_vfi_step(case: Case) -> dict[str, Any]:
    i = case.info["inputs"]
    images = {
        name: frame(i["height"], i["width"], phase, i["seed"], i["batch"])
        for name, phase in (("frame0", 0.0), ("frame1", 1.0), ("target", 0.5))
    }
    return {**images, "time": torch.full((i["batch"], 1, 1, 1), 0.5)}


def rife_step(case: Case) -> dict[str, Any]:
    given = rife_inputs(case)
    assert given.pop("scale") == 1.0
    return {"time": torch.full((len(given["target"]), 1, 1, 1), 0.5), **given}


def interpany_step(case: Case) -> dict[str, Any]:
    return {**interpany_inputs(case), "target": interpany_target(case)}


def ifrnet_terms(case: Case) -> dict[str, float]:
    published = {"charbonnier": "charbonnier", "census": "ternary", "geometry": "geo", "distillation": "dis"}
    return {ours: case.arrays[f"loss_{theirs}"].item() for ours, theirs in published.items()}


def amt_terms(case: Case) -> dict[str, float]:
    published = {"charbonnier": "charbonnier", "census": "ternary", "distillation": "multi_flow_weighted"}
    found = {ours: case.arrays.get(f"loss_{theirs}") for ours, theirs in published.items()}
    return {ours: value.item() for ours, value in found.items() if value is not None}


def ema_vfi_terms(case: Case) -> dict[str, float]:
    pred, *blends = (case.arrays[key].item() for key in ("lap_pred", "lap_merged_stage1", "lap_merged_stage2"))
    return {"laplacian": pred, "merged": 0.5 * sum(blends)}


def rife_terms(case: Case) -> dict[str, float]:
    terms = case.info["terms"]
    return {"laplacian": terms["lap_student"], "teacher": terms["lap_teacher"]}


def interpany_terms(case: Case) -> dict[str, float]:
    terms = case.info["loss_terms"]
    if "l_rec" in terms:
        return {"charbonnier": terms["l_rec"], "census": terms["l_ter"]}
    return {"laplacian": terms["lap_pred"], "merged": 0.5 * (terms["lap_merged_stage1"] + terms["lap_merged_stage2"])}


def published(case: Case, *keys: str) -> float:
    """The first of these numbers that a golden holds."""
    found = next({**case.arrays, **case.info}[key] for key in keys if key in case.arrays or key in case.info)
    return float(np.asarray(found).item())


ALL_GRADIENTS = ("grad_norm_total", "gradnorm_all", "total_grad_norm", "grad_l2_all", "total_gradient_l2_norm")
Step, Terms = Callable[[Case], Any], Callable[[Case], dict[str, float]]


@pytest.mark.parametrize(
    ("experiment", "folder", "name", "step", "terms"),
    [
        ("ifrnet_vimeo", "ifrnet", "train_vimeo", ifrnet_step, ifrnet_terms),
        ("ifrnet_s_vimeo", "ifrnet_s", "train_vimeo", ifrnet_step, ifrnet_terms),
        pytest.param("ifrnet_l_vimeo", "ifrnet_l", "train_vimeo", ifrnet_step, ifrnet_terms, marks=pytest.mark.slow),
        ("ifrnet_gopro", "ifrnet", "train_gopro", ifrnet_step, ifrnet_terms),
        ("ifrnet_s_gopro", "ifrnet_s", "train_gopro", ifrnet_step, ifrnet_terms),
        ("amt_s_vimeo", "amt_s", "train_step", amt_step, amt_terms),
        pytest.param("amt_l_vimeo", "amt_l", "train_step", amt_step, amt_terms, marks=pytest.mark.slow),
        pytest.param("amt_g_vimeo", "amt_g", "train_step", amt_step, amt_terms, marks=pytest.mark.slow),
        ("amt_s_gopro", "amt_s", "train_step_gopro", amt_step, amt_terms),
        pytest.param(
            "emavfi_vimeo", "ema_vfi", "train_step_64x64", ema_vfi_step, ema_vfi_terms, marks=pytest.mark.slow
        ),
        ("emavfi_small_vimeo", "ema_vfi_small", "train_step_64x64", ema_vfi_step, ema_vfi_terms),
        ("rife_vimeo", "rife", "train_step", rife_step, rife_terms),
        ("rife_m_septuplet", "rife_m", "train_step", rife_step, rife_terms),
        ("rife_t_septuplet", "rife_m", "train_step", rife_step, rife_terms),
        ("rife_d_septuplet", "rife_d", "train_step", rife_step, rife_terms),
        ("rife_dr_septuplet", "rife_dr", "train_step", rife_step, rife_terms),
        ("ifrnet_d_septuplet", "ifrnet_d", "train_step", interpany_step, interpany_terms),
        ("ifrnet_dr_septuplet", "ifrnet_dr", "train_step", interpany_step, interpany_terms),
        ("amt_s_d_septuplet", "amt_s_d", "train_step", interpany_step, interpany_terms),
        ("amt_s_dr_septuplet", "amt_s_dr", "train_step", interpany_step, interpany_terms),
        pytest.param(
            "emavfi_d_septuplet", "ema_vfi_d", "train_step", interpany_step, interpany_terms, marks=pytest.mark.slow
        ),
        pytest.param(
            "emavfi_dr_septuplet", "ema_vfi_dr", "train_step", interpany_step, interpany_terms, marks=pytest.mark.slow
        ),
    ],
)
def test_a_training_step_equals_the_published_one(
    experiment: str, folder: str, name: str, step: Step, terms: Terms
) -> None:
    case = load(folder, name)
    module = recipe(experiment, case)
    values = module.losses(rgb(module, step(case)))
    assert values["total"].item() == pytest.approx(published(case, "loss_total", "loss"), rel=1e-5)
    for key, expected in terms(case).items():
        if key in values or expected:
            assert values[key].item() == pytest.approx(expected, rel=1e-5), key
    values["total"].backward()
    norms = torch.stack([p.grad.double().norm() for p in module.architecture.parameters() if p.grad is not None])
    assert norms.norm().item() == pytest.approx(published(case, *ALL_GRADIENTS), rel=1e-4)


@pytest.mark.parametrize("phase", ["phase1"])
def test_atm_vfi_in_float64(phase: str) -> None:
    """ATM-VFI amplifies the rounding of float32."""
    case = load("atm_vfi_lite", "train_step")
    i, expected = case.info["input"]["frames"], case.info["phases"][phase]["float64"]
    module = recipe("atmvfi_lite_vimeo", case).double()
    frame0, target, frame1 = (frame(i["height"], i["width"], p, i["seed"], i["batch"]).double() for p in (0, 0.5, 1))
    batch = Batch(frame0=frame0, frame1=frame1, target=target, time=torch.full((i["batch"], 1, 1, 1), 0.5))
    values = module.losses(batch)
    assert values["laplacian"].item() == pytest.approx(expected["terms"]["lap_loss"], rel=1e-9)
    assert values["warping"].item() == pytest.approx(expected["terms"]["warping_loss"], rel=1e-9)
    assert values["total"].item() == pytest.approx(expected["loss"], rel=1e-9)
    values["total"].backward()
    trained = [p for p in module.architecture.parameters() if p.grad is not None]
    assert len(trained) == case.info["phases"][phase]["calls"][1]["tensors_with_gradient"]
    (group,) = module.configure_optimizers()["optimizer"].param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in trained}


# --- learning rates


def rates(experiment: str, steps: list[int], steps_per_epoch: int = 1) -> list[float]:
    """What the optimizer of an experiment uses at these steps."""
    module = build_module(planned(f"experiment={experiment}", f"steps_per_epoch={steps_per_epoch}"))
    made = module.configure_optimizers()
    peak, (factor,) = made["optimizer"].defaults["lr"], made["lr_scheduler"]["scheduler"].lr_lambdas
    return [peak * factor(step) for step in steps]


def test_learning_rates_of_ifrnet() -> None:
    rows = load("functions_IFRNet", "learning_rate").info["rows"]
    rows = [row for row in rows if (row["epochs"], row["iters_per_epoch"]) == (300, 2138)]
    assert len(rows) > 5
    expected = [row["lr"] for row in rows]
    assert rates("ifrnet_vimeo", [row["iteration"] for row in rows]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("experiment", "row"), [("amt_s_vimeo", 0), ("amt_l_vimeo", 1), ("amt_g_vimeo", 2), ("amt_s_gopro", 3)]
)
def test_learning_rates_of_amt(experiment: str, row: int) -> None:
    table = load("functions_AMT", "lr_schedule").info["table"][row]
    assert table["config"].lower() == experiment.replace("_vimeo", "")
    got = rates(experiment, table["iterations"], table["iterations_per_epoch"])
    assert got == pytest.approx(table["lr_values"], rel=1e-9)


def test_learning_rates_of_ema_vfi() -> None:
    info = load("functions_EMA-VFI", "learning_rate").info
    assert rates("emavfi_vimeo", info["main"]["steps"]) == pytest.approx(info["main"]["values"], rel=1e-9)
    fork = info["co3d_fork"]
    got = rates("emavfi_small_t_co3d", fork["steps"], fork["steps_per_epoch"])
    assert got == pytest.approx(fork["values"], rel=1e-9)


def test_learning_rates_of_rife() -> None:
    info = load("functions_RIFE", "learning_rate").info
    assert rates("rife_vimeo", info["steps"]) == pytest.approx(info["lr"], rel=1e-9)


@pytest.mark.parametrize("experiment", ["ebme_vimeo", "ebme_h_vimeo"])
def test_learning_rates_of_ebme(experiment: str) -> None:
    """The published trainer's first update is step 1."""
    info = load("ebme_functions", "learning_rate").info
    assert rates(experiment, [step - 1 for step in info["steps"]]) == pytest.approx(info["lr"], rel=1e-9)


@pytest.mark.parametrize(("experiment", "key"), [("amt_s_dr_septuplet", "amt"), ("ifrnet_dr_septuplet", "ifrnet")])
def test_learning_rates_of_interpany(experiment: str, key: str) -> None:
    """The golden counts 1,000 steps an epoch, the recipe 2,557: the curve's shape is compared, stretched."""
    info = load("functions_InterpAny-Clearer", "learning_rate").info
    table, steps = info[key], info["iterations_per_epoch"] * info[key]["epochs"]
    module = build_module(planned(f"experiment={experiment}", f"trainer.max_steps={steps}"))
    made = module.configure_optimizers()
    peak, (factor,) = made["optimizer"].defaults["lr"], made["lr_scheduler"]["scheduler"].lr_lambdas
    assert [peak * factor(step) for step in table["steps"]] == pytest.approx(table["values"], rel=1e-9)


def test_learning_rates_of_interpany_on_ema_vfi() -> None:
    table = load("functions_InterpAny-Clearer", "learning_rate").info["ema_vfi"]
    assert np.max(table["steps"]) > 2000
    module = build_module(planned("experiment=emavfi_dr_septuplet", "trainer.max_steps=300000"))
    made = module.configure_optimizers()
    peak, (factor,) = made["optimizer"].defaults["lr"], made["lr_scheduler"]["scheduler"].lr_lambdas
    assert [peak * factor(step) for step in table["steps"]] == pytest.approx(table["values"], rel=1e-9)


def test_learning_rates_of_atm_vfi() -> None:
    published = load("functions_ATM-VFI", "learning_rate").info["tables"]
    table = published["phase1 code default (24 per batch, 150 epochs of 2138)"]
    got = rates("atmvfi_base_vimeo_code", [int(step) for step in table])
    assert got == pytest.approx(list(table.values()), rel=1e-9)
