"""RIFE's loss terms against `functions_RIFE`, separately and in training steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from losses.rife import FlowSmoothness, TeacherDistillation
from tests.helpers.golden_cases import assert_near, frame, load
from tests.helpers.loss_sets import loss_set
from tests.helpers.rife_cases import flows, rife_inputs, rife_model
from vfi_train.architectures import create_model
from vfi_train.contract import Batch, Prediction


def golden_flow(index: int) -> Tensor:
    """Flow `index` of the distillation golden, 2 4 32 48."""
    halves = [frame(32, 48, 0.0, seed + index, 2)[:, :2] for seed in (50, 60)]
    return (torch.cat(halves, dim=1) - 0.5) * 8


def golden_prediction() -> tuple[Prediction, Batch]:
    students = [golden_flow(index) for index in range(3)]
    teacher, blend = golden_flow(3), frame(32, 48, 0.4, 70, 2)
    merged = [frame(32, 48, 0.15 * index, 70, 2) for index in range(3)]
    prediction = Prediction(
        frame=merged[-1],
        merged=merged,
        flow0=[flow[:, :2] for flow in students],
        flow1=[flow[:, 2:] for flow in students],
        teacher=Prediction(frame=blend, flow0=[teacher[:, :2]], flow1=[teacher[:, 2:]]),
    )
    return prediction, Batch(target=frame(32, 48, 0.5, 70, 2))


def test_distillation_equals_the_published_term() -> None:
    case = load("functions_RIFE", "distillation")
    prediction, batch = golden_prediction()
    term = TeacherDistillation()
    assert term(prediction, batch).item() == pytest.approx(case.info["total"], rel=1e-5)
    for index, mask in enumerate(term.masks(prediction, batch)):
        assert_near(mask, case.arrays[f"mask{index}"], 0, f"mask{index}")
        assert mask.mean().item() == pytest.approx(case.info["mask_fraction"][index], abs=1e-6)
        single = Prediction(
            frame=prediction.frame,
            merged=prediction.merged[index : index + 1],
            flow0=prediction.flow0[index : index + 1],
            flow1=prediction.flow1[index : index + 1],
            teacher=prediction.teacher,
        )
        assert term(single, batch).item() == pytest.approx(case.info["per_level"][index], rel=1e-5)


def test_distillation_trains_the_student_alone_and_has_a_gradient_where_they_agree() -> None:
    prediction, batch = golden_prediction()
    student = torch.cat((prediction.flow0[0], prediction.flow1[0]), dim=1).requires_grad_()
    teacher = student.detach().clone()
    teacher[..., 10:] += 1
    teacher.requires_grad_()
    prediction.flow0, prediction.flow1 = [student[:, :2]], [student[:, 2:]]
    prediction.merged = [torch.ones_like(batch["target"])]
    prediction.teacher = Prediction(batch["target"], flow0=[teacher[:, :2]], flow1=[teacher[:, 2:]])
    loss = TeacherDistillation()(prediction, batch)
    loss.backward()
    # Every pixel counts; the root mean square of four ones is 1.
    assert loss.item() == pytest.approx(38 / 48)
    assert teacher.grad is None
    assert torch.equal(student.grad[..., :10], torch.zeros(2, 4, 32, 10))
    assert_near(student.grad[..., 10:], torch.full((2, 4, 32, 38), -1 / (4 * 2 * 32 * 48)), 1e-9)


def test_smoothness_equals_the_published_term() -> None:
    case = load("functions_RIFE", "sobel_smooth")
    flow = golden_flow(0)
    prediction = Prediction(frame=torch.zeros(2, 3, 32, 48), flow0=[flow[:, :2]], flow1=[flow[:, 2:]])
    term = FlowSmoothness()
    assert term(prediction, Batch()).item() == pytest.approx(case.info["value"], rel=1e-6)
    assert_near(term.slopes(flow).reshape(-1, 1, 32, 48)[:3], case.arrays["map"], 1e-5)


@pytest.mark.parametrize(
    ("folder", "loss", "weight"),
    [
        ("rife", "rife", 0.01),
        ("rife_2r", "rife", 0.01),
        ("rife_m", "rife_m", 0.002),
        ("rife_d", "rife_m", 0.002),
        ("rife_dr", "rife_m", 0.002),
    ],
)
def test_training_step_equals_the_published_one(folder: str, loss: str, weight: float) -> None:
    case = load(folder, "train_step")
    model, given = rife_model(case), rife_inputs(case)
    batch = Batch(target=given["target"])
    prediction = model(**given)
    assert_near(prediction.frame, case.arrays["output"], 1e-5, "output")
    assert_near(flows(prediction.teacher)[0][:1], case.arrays["flow_teacher"], 1e-4, "flow_teacher")
    assert_near(prediction.teacher.frame[:1], case.arrays["merged_teacher"], 1e-5, "merged_teacher")

    values = loss_set(loss)(prediction, batch)
    terms = case.info["terms"]
    assert values["laplacian"].item() == pytest.approx(terms["lap_student"], rel=1e-5)
    assert values["teacher"].item() == pytest.approx(terms["lap_teacher"], rel=1e-5)
    assert values["distillation"].item() == pytest.approx(weight * terms["distill_unweighted"], rel=1e-5)
    assert values["total"].item() == pytest.approx(case.info["loss"], rel=1e-5)
    fractions = [mask.mean().item() for mask in TeacherDistillation().masks(prediction, batch)]
    assert fractions == pytest.approx(case.info["distill_mask_fractions"], abs=1e-6)

    values["total"].backward()
    gradients = {name: p.grad.norm() for name, p in model.named_parameters()}
    for name, expected in case.info["grad_l2"].items():
        assert gradients[name].item() == pytest.approx(expected, rel=1e-4), name
    total = torch.stack(list(gradients.values())).norm().item()
    assert total == pytest.approx(case.info["grad_l2_all"], rel=1e-4)


def test_a_network_without_a_teacher_is_named() -> None:
    model = create_model("rife", widths=(16, 12, 8), teacher=False)
    target = frame(64, 64, 0.5)
    prediction = model(frame(64, 64, 0.0), frame(64, 64, 1.0), target=target)
    with pytest.raises(ValueError, match=r"reads prediction\.teacher, which this architecture does not give"):
        loss_set("rife")(prediction, Batch(target=target))
