"""RIFE 4's loss terms: against the single terms that they are made of, and in training steps of the goldens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from losses.laplacian import Laplacian, LaplacianPyramid
from losses.rife4 import BlendedLaplacian
from tests.helpers.golden_cases import assert_near, frame, load
from tests.helpers.loss_sets import loss_set
from tests.helpers.rife_cases import rife_inputs, rife_model
from vfi_train.architectures.rife_v4 import RIFE46, RIFE425
from vfi_train.contract import Batch, Prediction

TARGET = frame(64, 96, 0.5, 2, 2)


def prediction(count: int = 4) -> Prediction:
    blends = [frame(64, 96, 0.1 * k, 2, 2) for k in range(count)]
    return Prediction(blends[-1], merged=blends)


def single(blend: Tensor) -> float:
    return Laplacian()(Prediction(blend), Batch(target=TARGET)).item()


@pytest.mark.parametrize("folder", ["rife_v4_6", "rife_v4_25"])
def test_training_step_equals_the_published_network(folder: str) -> None:
    case = load(folder, "train_step")
    model, given = rife_model(case), rife_inputs(case)
    got = model(**given)
    assert_near(got.frame, case.arrays["output"], 1e-5, "output")
    loss = Laplacian()(got, Batch(target=given["target"]))
    assert loss.item() == pytest.approx(case.info["loss"], abs=1e-5)
    bands = LaplacianPyramid()(got.frame - given["target"], 5)
    assert [band.abs().mean().item() for band in bands] == pytest.approx(case.info["terms"]["lap_levels"], abs=1e-5)

    loss.backward()
    names = {name.replace("head.", "encode."): p.grad.norm() for name, p in model.named_parameters()}
    for name, expected in case.info["grad_l2"].items():
        assert names[name].item() == pytest.approx(expected, rel=1e-4), name
    assert torch.stack(list(names.values())).norm().item() == pytest.approx(case.info["grad_l2_all"], rel=1e-4)


def test_the_last_blend_weighs_one_and_each_before_it_less() -> None:
    given = prediction()
    singles = [single(blend) for blend in given.merged]
    got = BlendedLaplacian()(given, Batch(target=TARGET))
    assert got.item() == pytest.approx(0.512 * singles[0] + 0.64 * singles[1] + 0.8 * singles[2] + singles[3], rel=1e-5)
    assert BlendedLaplacian(decay=0)(given, Batch(target=TARGET)).item() == pytest.approx(singles[-1], rel=1e-6)


def test_weights_of_ones_own_and_blends_without_any() -> None:
    given = prediction()
    given.merged[0] = torch.full_like(TARGET, torch.nan)
    got = BlendedLaplacian(weights=[0, 0.1, 0.1, 1])(given, Batch(target=TARGET)).item()
    weighed = zip((0.1, 0.1, 1), given.merged[1:], strict=True)
    assert got == pytest.approx(sum(weight * single(blend) for weight, blend in weighed), rel=1e-5)


def test_a_perfect_prediction_has_no_loss() -> None:
    assert BlendedLaplacian()(Prediction(TARGET, merged=[TARGET] * 3), Batch(target=TARGET)).item() == 0


def test_mistakes_end_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="decay is a number from 0 to 1; got 2"):
        BlendedLaplacian(decay=2)
    with pytest.raises(ValueError, match="one of them above 0 at least; got \\[0, 0\\]"):
        BlendedLaplacian(weights=[0, 0])
    with pytest.raises(ValueError, match="weights for 2 blends, \\[1, 1\\]; the prediction has 4: give one weight"):
        BlendedLaplacian(weights=[1, 1])(prediction(), Batch(target=TARGET))
    with pytest.raises(ValueError, match="blends of the target's shape"):
        BlendedLaplacian()(Prediction(TARGET, merged=[TARGET[..., :32]]), Batch(target=TARGET))
    with pytest.raises(ValueError, match=r"reads prediction\.merged, which this architecture does not give"):
        loss_set("rife4")(Prediction(TARGET), Batch(target=TARGET))


@pytest.mark.parametrize("kind", [RIFE46, RIFE425])
def test_the_teacher_trains_with_the_student(kind: type) -> None:
    torch.manual_seed(0)
    model = kind(widths=(8,) * len(kind.shrinks), teacher=True)
    target = frame(64, 64, 0.5, 3)
    got = model(frame(64, 64, 0.0, 3), frame(64, 64, 1.0, 3), target=target)
    values = loss_set("rife4_teacher")(got, Batch(target=target))
    assert list(values) == ["blends", "teacher", "distillation", "total"]
    values["total"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
