"""RIFE against the published networks: goldens `rife*`; its layouts of checkpoints; its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tests.helpers.golden_cases import GOLDENS, assert_near, frame, golden, load
from tests.helpers.rife_cases import flows, rife_inputs, rife_model
from vfi_train.architectures import create_model
from vfi_train.architectures.base import count_parameters
from vfi_train.architectures.layers.reference import reference_schedule
from vfi_train.architectures.layers.warp import warp
from vfi_train.inference.interpolator import Interpolator
from vfi_train.optim.schedules import WarmupCosine
from vfi_train.weights import load_published, published_state_dict

TINY = {"widths": (16, 12, 8)}
SMALL_CASES = [
    ("rife", "small_32x64"),
    ("rife_2r", "small_32x64"),
    ("rife_m", "small_32x64_t025"),
    ("rife_d", "small_32x64"),
    ("rife_dr", "small_32x64"),
]
WHOLE_CASES = [
    ("rife", "plain_96x128"),
    ("rife", "scale_half_128x128"),
    ("rife_m", "t08_96x128"),
    ("rife_d", "map_b2_64x96"),
    ("rife_d", "uniform_t025_96x128"),
]
LOOP_CASES = ("iters2_anchor_64x64", "iters2_map_96x128", "iters3_uniform_b2_64x96")  # of `rife_dr`
AUGMENTED_CASES = [("rife", "tta_64x96"), ("rife_2r", "tta_64x96"), ("rife_m", "tta_t0625_64x96")]


@torch.no_grad()
@pytest.mark.parametrize(("folder", "name"), SMALL_CASES)
def test_every_intermediate_equals_the_published_network(folder: str, name: str) -> None:
    case = load(folder, name)
    model, given = rife_model(case).eval(), rife_inputs(case)
    got = model(**given)
    merged = ("merged0", "merged1", "merged2_before_residual")
    seen = dict(zip(merged, got.merged, strict=True)) | {"residual": got.residual, "output": got.frame}
    seen["warped0"] = warp(given["frame0"], got.flow0[-1])
    seen["warped1"] = warp(given["frame1"], got.flow1[-1])
    encoding = model.encode(given["frame0"], given["frame1"])
    context = model.unet.warped_context(encoding.context, flows(got)[-1])
    for level, features in enumerate(context, start=1):
        seen[f"context0_f{level}"], seen[f"context1_f{level}"] = features.chunk(2)
    for block, (flow, mask) in enumerate(zip(flows(got), got.mask, strict=True)):
        assert_near(flow, case.arrays.pop(f"flow{block}"), 1e-4, f"flow{block}")
        assert_near(mask.logit(), case.arrays.pop(f"masklogit{block}"), 1e-5, f"masklogit{block}")
    for key, expected in case.arrays.items():
        assert_near(seen[key], expected, 1e-5, key)


@torch.no_grad()
@pytest.mark.parametrize(("folder", "name"), WHOLE_CASES)
def test_frames_equal_the_published_network(folder: str, name: str) -> None:
    case = load(folder, name)
    assert_near(rife_model(case).eval()(**rife_inputs(case)).frame, case.arrays["output"], 1e-5)


@pytest.mark.parametrize("name", LOOP_CASES)
def test_steps_from_the_reference_equal_the_published_loop(name: str) -> None:
    case = load("rife_dr", name)
    given = rife_inputs(case)
    assert given.pop("scale") == 1
    interpolator = Interpolator(rife_model(case).eval(), iterations=case.info["options"]["iters"])
    # The goldens' frames are in the network's own channel order, an interpolator's are RGB.
    given |= {key: given[key].flip(1) for key in ("frame0", "frame1", "reference") if key in given}
    with torch.no_grad():
        assert_near(interpolator.predict(**given).frame.flip(1), case.arrays["output"], 1e-5)


@pytest.mark.parametrize(("folder", "name"), AUGMENTED_CASES)
def test_augmented_frames_equal_the_published_network(folder: str, name: str) -> None:
    case = load(folder, name)
    given = rife_inputs(case)
    interpolator = Interpolator(rife_model(case).eval(), tta=True, tta_batched=False)
    # The goldens' frames are in the network's own channel order, an interpolator's are RGB.
    got = interpolator.predict(given["frame0"].flip(1), given["frame1"].flip(1), given.get("time", 0.5))
    assert_near(got.frame.flip(1), case.arrays["output"], 1e-5)


def test_a_scale_reaches_the_network_through_the_interpolator() -> None:
    case = load("rife", "scale_half_128x128")
    given = rife_inputs(case)
    interpolator = Interpolator(rife_model(case), scale=given["scale"])
    got = interpolator(given["frame0"].flip(1), given["frame1"].flip(1))
    assert_near(got.flip(1), case.arrays["output"], 1e-5)


def test_warp_equals_the_published_one() -> None:
    case = load("functions_RIFE", "backward_warp")
    flow = (frame(20, 28, 0.0, 42, 2)[:, :2] - 0.5) * 30
    assert_near(warp(frame(20, 28, 0.0, 41, 2), flow), case.arrays["output"], 1e-5)


@pytest.mark.parametrize(
    ("name", "iterations", "target", "anchor"),
    [
        ("iters1_target0.5", 1, 0.5, 0.0),
        ("iters2_target0.5", 2, 0.5, 0.0),
        ("iters3_target0.9", 3, 0.9, 0.0),
        ("iters2_target0.75_anchor0.5", 2, 0.75, 0.5),
        ("iters3_target1.25_anchor1.0_extrapolation", 3, 1.25, 1.0),
    ],
)
def test_steps_equal_the_published_schedule(name: str, iterations: int, target: float, anchor: float) -> None:
    stops = load("functions_RIFE", "iterative_schedule").info[name]
    steps = list(reference_schedule(torch.full((1, 1, 1, 1), target), anchor, iterations))
    assert len(steps) == iterations
    for (to, since), expected_to, expected_since in zip(steps, stops[1:], stops[:-1], strict=True):
        assert to.item() == pytest.approx(expected_to, abs=1e-7)
        assert float(since) == pytest.approx(expected_since, abs=1e-7)


def test_learning_rates_equal_the_published_schedule() -> None:
    info = load("functions_RIFE", "learning_rate").info
    for factor, expected in ((1, info["lr"]), (4, info["lr_8gpu_batch32_interpany"])):
        schedule = WarmupCosine(floor=factor * 3e-6, warmup_steps=2000)
        got = [schedule(step, peak=factor * 3e-4, total=300 * 761) for step in info["steps"]]
        assert got == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize(
    ("name", "total", "student", "macs"),
    [
        ("rife", 10_708_215, 10_071_550, 14.54),
        ("rife_2r", 10_708_215, 10_071_550, 58.02),
        ("rife_m", 10_710_780, 10_073_710, 14.56),
        ("rife_t", 10_710_780, 10_073_710, None),
        ("rife_d", 10_710_780, 10_073_710, None),
        ("rife_dr", 10_721_040, 10_082_350, None),
        ("rife_tr", 10_721_040, 10_082_350, None),
    ],
)
def test_parameters_and_operations(name: str, total: int, student: int, macs: float | None) -> None:
    with FakeTensorMode():
        model = create_model(name)
        assert count_parameters(model) == total
        assert count_parameters(create_model(name, teacher=False)) == student
        if macs is not None:
            pair = torch.zeros(2, 1, 3, 256, 448)
            with FlopCounterMode(display=False) as counter:
                model(*pair)
            assert counter.get_total_flops() / 2e9 == pytest.approx(macs, abs=0.005)


@pytest.mark.parametrize("folder", ["rife", "rife_2r", "rife_m", "rife_d", "rife_dr"])
def test_tensors_have_the_published_names_in_their_order(folder: str) -> None:
    manifest = golden.load_manifest(GOLDENS / folder)
    with torch.device("meta"):
        tensors = published_state_dict(create_model(folder))
    ours = [(name, tuple(tensor.shape)) for name, tensor in tensors.items()]
    assert ours == [(entry["name"], tuple(entry["shape"])) for entry in manifest]


def published_tensors(folder: str, teacher: bool = True) -> dict[str, Tensor]:
    tensors = golden.state_dict(golden.load_manifest(GOLDENS / folder), 0.8, 0)
    return {n: torch.from_numpy(t) for n, t in tensors.items() if teacher or not n.startswith("block_tea.")}


@pytest.mark.parametrize(
    ("folder", "file", "wrapped", "prefix", "has_teacher", "wants_teacher"),
    [
        ("rife", "flownet.pkl", False, "module.", True, True),
        ("rife_m", "flownet_m.pkl", False, "module.", True, False),
        ("rife_d", "flownet_sdi.pkl", True, "module.", False, True),
        ("rife_dr", "flownet_sdi.pkl", True, "", True, True),
        ("rife", "clean.pth", False, "", False, False),
    ],
)
def test_published_checkpoints_load_and_come_back_exactly(
    tmp_path: Path, folder: str, file: str, wrapped: bool, prefix: str, has_teacher: bool, wants_teacher: bool
) -> None:
    tensors = published_tensors(folder, has_teacher)
    content: dict[str, Any] = {prefix + name: tensor for name, tensor in tensors.items()}
    if wrapped:
        optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4}]}
        content = {"model": content, "optimizer": optimizer, "epoch": 299, "step": 228_300}
    torch.save(content, tmp_path / file)
    model = create_model(folder, teacher=wants_teacher)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_published(model, tmp_path / file)
    back = published_state_dict(model)
    assert any(name.startswith("block_tea.") for name in back) == wants_teacher
    for name, tensor in back.items():
        assert torch.equal(tensor, tensors.get(name, fresh[name])), name
    assert {n for n in tensors if not n.startswith("block_tea.")} <= set(back)


def test_a_checkpoint_with_half_a_teacher_is_refused() -> None:
    tensors = published_tensors("rife")
    del tensors["block_tea.lastconv.bias"]
    with pytest.raises(ValueError, match=r"1 tensors are missing \(block_tea.lastconv.bias\)"):
        load_published(create_model("rife"), tensors)


def test_a_checkpoint_of_another_variant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fit RIFEm: 4 tensors have another shape \(block0.conv0.0.0.weight"):
        load_published(create_model("rife_m"), published_tensors("rife"))


def moving(batch: int = 1, height: int = 64, width: int = 64) -> tuple[Tensor, Tensor]:
    return frame(height, width, 0.0, 3, batch), frame(height, width, 1.0, 3, batch)


@torch.no_grad()
def test_a_uniform_map_is_a_time() -> None:
    timed, mapped = create_model("rife_m", **TINY).eval(), create_model("rife_d", **TINY).eval()
    mapped.load_state_dict(timed.state_dict())
    expected = timed(*moving(), 0.3).frame
    assert torch.equal(mapped(*moving(), 0.3).frame, expected)
    assert torch.equal(mapped(*moving(), torch.full((1, 1, 64, 64), 0.3)).frame, expected)


@torch.no_grad()
def test_one_encoding_is_used_for_many_times_and_samples_do_not_mix() -> None:
    model = create_model("rife_m", **TINY).eval()
    frame0, frame1 = moving(batch=2)
    encoding = model.encode(frame0, frame1)
    for time in (0.25, 0.75):
        together = model.decode(encoding, torch.full((2, 1, 1, 1), time)).frame
        single = [model(frame0[i : i + 1], frame1[i : i + 1], time).frame for i in range(2)]
        assert_near(together, torch.cat(single), 1e-6)


def test_the_teacher_predicts_when_the_target_is_given() -> None:
    frame0, frame1 = moving()
    target = frame(64, 64, 0.5, 3)
    for name in ("rife", "rife_2r", "rife_m", "rife_d", "rife_dr"):
        model = create_model(name, **TINY)
        got = model(frame0, frame1, target=target)
        assert got.teacher.frame is got.teacher.merged[0]
        assert [f.shape for f in (*got.teacher.flow0, *got.teacher.flow1)] == [(1, 2, 64, 64)] * 2
        assert model(frame0, frame1).teacher is None
        assert create_model(name, teacher=False, **TINY)(frame0, frame1, target=target).teacher is None
        # The teacher's reconstruction trains the student's flow blocks, not the refinement.
        got.teacher.frame.sum().backward()
        with_gradient = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
        assert with_gradient == {"block0", "block1", "block2", "block_tea"}


@torch.no_grad()
def test_frames_of_many_shapes_one_after_another() -> None:
    used = create_model("rife_m", **TINY).eval()
    for height, width, batch in ((64, 96, 1), (32, 32, 2), (96, 64, 1), (64, 96, 1)):
        fresh = create_model("rife_m", **TINY).eval()
        fresh.load_state_dict(used.state_dict())
        pair = moving(batch, height, width)
        assert torch.equal(used(*pair, 0.3).frame, fresh(*pair, 0.3).frame)


@torch.no_grad()
def test_bfloat16_autocast_stays_close() -> None:
    case = load("rife", "plain_96x128")
    model, given = rife_model(case).eval(), rife_inputs(case)
    with torch.autocast("cpu", torch.bfloat16):
        got = model(**given, target=frame(96, 128, 0.5, 2))
    # Frames, flows and masks are float32: half precision stays inside the convolutions.
    fields = [got.frame, got.residual, *got.merged, *got.mask, *flows(got)]
    fields += [got.teacher.frame, *flows(got.teacher)]
    assert {field.dtype for field in fields} == {torch.float32}
    assert all(field.isfinite().all() for field in fields)
    error = got.frame - case.tensor("output")
    assert error.abs().max() < 0.01
    assert -10 * torch.log10(error.square().mean()) > 58  # dB; measured 60.4


@torch.no_grad()
@pytest.mark.parametrize("folder", ["rife", "rife_2r"])
def test_channels_last_gives_the_same_frames(folder: str) -> None:
    case = load(folder, "small_32x64")
    model, given = rife_model(case).eval().to(memory_format=torch.channels_last), rife_inputs(case)
    pair = [given[name].to(memory_format=torch.channels_last) for name in ("frame0", "frame1")]
    assert_near(model(*pair).frame, case.arrays["output"], 1e-5)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "given"), [("rife", {"target": frame(64, 64, 0.5, 3), "scale": 0.5}), ("rife_dr", {"time": 0.3})]
)
def test_the_network_compiles_as_one_graph(name: str, given: dict[str, Any]) -> None:
    torch.compiler.reset()
    model = create_model(name, **TINY).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    got, expected = compiled(*moving(), **given), model(*moving(), **given)
    assert torch.equal(got.frame, expected.frame)
    assert (got.teacher is None) == ("target" not in given)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("rife", {"time": 0.25}, r"RIFE predicts only the middle frame \(time 0.5\); got time 0.25"),
        ("rife_m", {"time": torch.zeros(1, 1, 64, 64)}, "RIFEm takes one time per sample, not a map"),
        (
            "rife_d",
            {"time": torch.zeros(1, 1, 32, 64)},
            "takes time maps of the frames' height and width",
        ),
        ("rife_d", {"reference": torch.zeros(1, 3, 64, 64)}, "RIFEd takes no reference frame"),
        ("rife_dr", {"reference": torch.zeros(1, 3, 64, 64)}, "got only `reference`: give both"),
        ("rife", {"scale": 0.25}, "RIFE takes frames of at least 32 pixels a side; got 16x16"),
    ],
)
def test_unsuitable_inputs_are_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(name, **TINY)(*moving(), **given)


@pytest.mark.parametrize(("size", "scale"), [((48, 64), 1.0), ((64, 96), 0.5), ((48, 48), 2.0)])
def test_sizes_are_multiples_of_32_and_of_32_over_scale(size: tuple[int, int], scale: float) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        create_model("rife", **TINY)(*moving(1, *size), scale=scale)


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0, 4.0])
def test_flows_are_pixels_of_the_full_size_at_every_scale(scale: float) -> None:
    """A flow block whose result is constant gives that constant times 2 and its own shrinking."""
    model = create_model("rife", **TINY).eval()
    for block in (model.block0, model.block1, model.block2):
        torch.nn.init.zeros_(block.lastconv.weight)
        torch.nn.init.ones_(block.lastconv.bias)
    got = model(*moving(1, 128, 128), scale=scale)
    expected = np.cumsum([8, 4, 2]) / scale
    for flow, value in zip(got.flow0, expected, strict=True):
        assert_near(flow, torch.full((1, 2, 128, 128), value), 1e-5)


def test_unknown_strides_are_refused() -> None:
    with pytest.raises(ValueError, match="RIFE takes stride 2, or 1 for twice the working resolution; got 4"):
        create_model("rife", stride=4)
