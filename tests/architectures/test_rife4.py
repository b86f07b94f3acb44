"""RIFE 4 against the published networks: goldens `rife_v4_*`; its checkpoints, options and exported graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tests.helpers.golden_cases import GOLDENS, Case, assert_near, frame, golden, load
from tests.helpers.rife_cases import flows, rife_inputs
from vfi_train.architectures import Architecture, create_model
from vfi_train.architectures.base import count_parameters
from vfi_train.architectures.rife_v4 import RIFE46, RIFE425, RIFE425Lite
from vfi_train.inference import graphs
from vfi_train.inference.interpolator import Interpolator
from vfi_train.modules.step_options import checkpointed
from vfi_train.weights import load_published, load_weights, published_state_dict

SMALL_CASES = [("rife_v4_6", "small_32x64_t025"), ("rife_v4_25", "small_64x64_t025")]
FRAME_CASES = [
    ("rife_v4_6", "t05_64x128"),
    ("rife_v4_6", "times_b2_64x64"),
    ("rife_v4_6", "scale_half_64x128"),
    ("rife_v4_6", "ensemble_t025_32x64"),
    ("rife_v4_6", "map_32x64"),
    ("rife_v4_25", "t05_64x128"),
    ("rife_v4_25", "times_b2_64x64"),
    ("rife_v4_25", "scale_half_128x128"),
    ("rife_v4_25_lite", "t05_128x128"),
    ("rife_v4_25_heavy", "times_b2_64x64"),
    ("rife_v4_25_heavy", "scale2_t025_64x128"),
    ("rife_v4_26", "t025_64x128"),
    ("rife_v4_26", "scale2_t05_64x64"),
    ("rife_v4_26_heavy", "times_b2_64x64"),
    ("rife_v4_26_heavy", "scale2_t025_64x128"),
]
NAMES = ["rife_v4_6", "rife_v4_25", "rife_v4_25_lite", "rife_v4_25_heavy", "rife_v4_26", "rife_v4_26_heavy"]
CLASSES = [RIFE46, RIFE425, RIFE425Lite]


def tiny(kind: type, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(widths=(8,) * len(kind.shrinks), **options).eval()


def golden_model(case: Case) -> Architecture:
    options = {"ensemble": True} if case.info["options"].get("ensemble") else {}
    return case.model(**options).eval()


def moving(batch: int = 1, height: int = 64, width: int = 64) -> tuple[Tensor, Tensor]:
    return frame(height, width, 0.0, 3, batch), frame(height, width, 1.0, 3, batch)


# --- goldens


@torch.no_grad()
@pytest.mark.parametrize(("folder", "name"), SMALL_CASES)
def test_every_intermediate_equals_the_published_network(folder: str, name: str) -> None:
    case = load(folder, name)
    model, given = golden_model(case), rife_inputs(case)
    got = model(**given)
    seen = {f"merged{block}": blend for block, blend in enumerate(got.merged)} | {"output": got.frame}
    seen["encode0"] = model.encode(given["frame0"], given["frame1"]).maps[:1, 3:]
    for block, (flow, mask) in enumerate(zip(flows(got), got.mask, strict=True)):
        assert_near(flow, case.arrays.pop(f"flow{block}"), 1e-4, f"flow{block}")
        assert_near(mask.logit(), case.arrays.pop(f"masklogit{block}"), 1e-5, f"masklogit{block}")
    for key, expected in case.arrays.items():
        assert_near(seen[key], expected, 1e-5, key)


@torch.no_grad()
@pytest.mark.parametrize(("folder", "name"), FRAME_CASES)
def test_frames_equal_the_published_network(folder: str, name: str) -> None:
    case = load(folder, name)
    model, given = golden_model(case), rife_inputs(case)
    assert [shrink / given["scale"] for shrink in model.shrinks] == case.info["scale_list"]
    assert_near(model(**given).frame, case.arrays["output"], 1e-5)


def test_frames_of_any_size_are_padded_as_published() -> None:
    case = load("rife_v4_25_lite", "pad_scale2_t025_72x96")
    given = rife_inputs(case)
    interpolator = Interpolator(
        golden_model(case), scale=given.pop("scale"), padding="zeros", padding_side="right_bottom"
    )
    with torch.no_grad():
        assert_near(interpolator.predict(**given).frame, case.arrays["output"], 1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("folder", "name"), SMALL_CASES)
def test_channels_last_gives_the_same_frames(folder: str, name: str) -> None:
    case = load(folder, name)
    model, given = golden_model(case).to(memory_format=torch.channels_last), rife_inputs(case)
    for key in ("frame0", "frame1"):
        given[key] = given[key].to(memory_format=torch.channels_last)
    assert_near(model(**given).frame, case.arrays["output"], 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("folder", ["rife_v4_6", "rife_v4_25"])
def test_bfloat16_autocast_stays_close(folder: str) -> None:
    case = load(folder, "t05_64x128")
    model, given = golden_model(case), rife_inputs(case)
    with torch.autocast("cpu", torch.bfloat16):
        got = model(**given)
    # Frames, flows and masks are float32: half precision stays inside the convolutions.
    assert {field.dtype for field in (got.frame, *got.merged, *got.mask, *flows(got))} == {torch.float32}
    error = got.frame - case.tensor("output")
    assert error.abs().max() < 0.006
    assert -10 * torch.log10(error.square().mean()) > 65  # dB; measured 68.6 and 70.0


# --- tensors


@pytest.mark.parametrize("folder", NAMES)
def test_tensors_have_the_published_names_in_their_order(folder: str) -> None:
    with torch.device("meta"):
        tensors = published_state_dict(create_model(folder))
    ours = [(name, list(tensor.shape)) for name, tensor in tensors.items()]
    assert ours == [(entry["name"], entry["shape"]) for entry in golden.load_manifest(GOLDENS / folder)]


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs_448", "gmacs_720p"),
    [
        ("rife_v4_6", 5_306_256, 4.81, 39.52),
        ("rife_v4_25", 5_664_776, 2.55, 21.84),
        pytest.param("rife_v4_25_lite", 5_622_700, 1.40, 10.51, marks=pytest.mark.slow),
        pytest.param("rife_v4_25_heavy", 21_663_528, 8.07, 69.13, marks=pytest.mark.slow),
        pytest.param("rife_v4_26", 5_664_776, 2.55, 21.84, marks=pytest.mark.slow),
        pytest.param("rife_v4_26_heavy", 5_723_156, 2.90, 24.86, marks=pytest.mark.slow),
    ],
)
def test_parameters_and_operations(name: str, parameters: int, gmacs_448: float, gmacs_720p: float) -> None:
    with FakeTensorMode():
        model = create_model(name)
        assert count_parameters(model) == parameters
        for (height, width), expected in (((256, 448), gmacs_448), ((720, 1280), gmacs_720p)):
            sides = [-(-side // model.size_multiple) * model.size_multiple for side in (height, width)]
            with FlopCounterMode(display=False) as counter:
                model(*torch.zeros(2, 1, 3, *sides))
            assert counter.get_total_flops() / 2e9 == pytest.approx(expected, abs=0.006)


# --- published checkpoints


def published_tensors(folder: str) -> dict[str, Tensor]:
    manifest = golden.load_manifest(GOLDENS / folder)
    return {name: torch.from_numpy(tensor) for name, tensor in golden.state_dict(manifest, 0.8, 0).items()}


EXTRAS = {"teacher.conv0.0.0.weight": torch.zeros(32, 31, 3, 3), "caltime.0.weight": torch.zeros(8, 3, 3, 3)}


@pytest.mark.parametrize("folder", NAMES)
@pytest.mark.parametrize(("prefix", "extras"), [("module.", EXTRAS), ("", {})])
def test_published_checkpoints_load_and_come_back_exactly(
    tmp_path: Path, folder: str, prefix: str, extras: dict[str, Tensor]
) -> None:
    tensors = published_tensors(folder)
    torch.save({prefix + name: tensor for name, tensor in {**tensors, **extras}.items()}, tmp_path / "flownet.pkl")
    model = create_model(folder)
    load_weights(model, tmp_path / "flownet.pkl")
    back = published_state_dict(model)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


SAME_SHAPES = ("rife_v4_25", "rife_v4_26")
PAIRS = [(a, b) for a in NAMES for b in NAMES if a != b and {a, b} != set(SAME_SHAPES)]


@pytest.mark.parametrize(("given", "wanted"), PAIRS)
def test_a_checkpoint_of_another_variant_is_named(given: str, wanted: str) -> None:
    with torch.device("meta"):
        tensors = published_state_dict(create_model(given))
        model = create_model(wanted)
    named = " or ".join(SAME_SHAPES) if given in SAME_SHAPES else given
    with (
        mock.patch("torch.Tensor.isfinite", return_value=torch.ones(())),  # of tensors without numbers
        pytest.raises(ValueError, match=f"choose the variant that the checkpoint was trained as: {named}$"),
    ):
        load_published(model, tensors)


def neighbours() -> dict[str, dict[str, Tensor]]:
    """Checkpoints of versions that have no architecture here, as far as their shapes are known."""
    old = published_tensors("rife_v4_6")
    with_head = {name: tensor for name, tensor in published_tensors("rife_v4_25").items() if "block4" not in name}
    return {
        "RIFE 4.5, which has no architecture here": {**old, "block0.lastconv.0.weight": torch.zeros(192, 20, 4, 4)},
        "RIFE 4.0 to 4.4, which has no": {name: tensor for name, tensor in old.items() if "beta" not in name},
        "RIFE 4.7 to 4.24, which has no": with_head,
        "the RIFE of 2022 \\(rife, rife_m": {
            name: tensor.detach() for name, tensor in published_state_dict(create_model("rife_m")).items()
        },
    }


def test_neighbours_are_refused_by_name() -> None:
    model = create_model("rife_v4_6")
    for said, tensors in neighbours().items():
        with pytest.raises(ValueError, match=f"choose the variant that the checkpoint was trained as: {said}"):
            load_published(model, tensors)


def test_a_damaged_checkpoint_of_the_right_variant_is_no_other_variant() -> None:
    tensors = published_tensors("rife_v4_6")
    del tensors["block3.lastconv.0.bias"]
    with pytest.raises(ValueError, match=r"1 tensors are missing \(block3.lastconv.0.bias\).* trained as$"):
        load_published(create_model("rife_v4_6"), tensors)


def test_a_teacher_keeps_its_weights() -> None:
    model = create_model("rife_v4_25", teacher=True)
    fresh = {name: tensor.clone() for name, tensor in model.teacher.state_dict().items()}
    assert load_published(model, published_tensors("rife_v4_25")) == []
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in model.teacher.state_dict().items())


# --- calls


@torch.no_grad()
@pytest.mark.parametrize("kind", CLASSES)
def test_a_uniform_map_is_a_time_and_pixels_have_times_of_their_own(kind: type) -> None:
    model, side = tiny(kind), kind.min_size
    pair = moving(1, side, side)
    plane = torch.full((1, 1, side, side), 0.3)
    assert_near(model(*pair, plane).frame, model(*pair, 0.3).frame, 1e-6)
    plane[..., side // 2 :] = 0.9
    assert (model(*pair, plane).frame - model(*pair, 0.3).frame).abs().max() > 1e-5


@torch.no_grad()
def test_the_head_runs_once_for_all_times_and_samples_do_not_mix() -> None:
    model = tiny(RIFE425)
    frame0, frame1 = moving(batch=2)
    with mock.patch.object(model.head, "forward", wraps=model.head.forward) as head:
        encoding = model.encode(frame0, frame1)
        times = (0.25, 0.75)
        together = [model.decode(encoding, torch.full((2, 1, 1, 1), time)).frame for time in times]
        assert head.call_count == 1
    both = torch.tensor(times).repeat(2).view(-1, 1, 1, 1)
    at_once = model.decode(encoding.repeated(2), both).frame
    for index, time in enumerate(times):
        separate = torch.cat([model(frame0[i : i + 1], frame1[i : i + 1], time).frame for i in range(2)])
        assert_near(together[index], separate, 1e-6)
        assert_near(at_once[index::2], separate, 1e-6)


@torch.no_grad()
def test_the_ensemble_makes_both_orders_of_the_frames_equal() -> None:
    model = tiny(RIFE46, ensemble=True)
    frame0, frame1 = moving()
    got, swapped = model(frame0, frame1, 0.3), model(frame1, frame0, 0.7)
    assert_near(got.frame, swapped.frame, 1e-6)
    assert_near(got.flow0[-1], swapped.flow1[-1], 1e-5)
    plain = tiny(RIFE46)
    assert (plain(frame0, frame1, 0.3).frame - plain(frame1, frame0, 0.7).frame).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES[1:])
def test_an_ensemble_is_refused_where_there_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="has no ensemble: leave it out, choose rife_v4_6, or take tta=true"):
        create_model(name, ensemble=True)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_teacher_predicts_when_the_target_is_known(kind: type) -> None:
    model, side = tiny(kind, teacher=True), kind.min_size
    pair, target = moving(1, side, side), frame(side, side, 0.5, 3)
    got = model(*pair, target=target)
    assert got.teacher.frame is got.teacher.merged[0]
    assert [f.shape for f in (*got.teacher.flow0, *got.teacher.flow1)] == [(1, 2, side, side)] * 2
    assert model(*pair).teacher is None
    assert tiny(kind)(*pair, target=target).teacher is None
    # The student predicts the same without seeing the target.
    assert torch.equal(got.frame, model(*pair).frame)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_teachers_input_has_the_published_number_of_channels(kind: type) -> None:
    model = tiny(kind, teacher=True)
    assert model.teacher.conv0[0][0].weight.shape[:2] == (32, 15 if kind is RIFE46 else 31)
    assert model.teacher.lastconv[0].weight.shape[0] == 64


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.25, 0.5, 0.75, 2.0, 4.0])
@pytest.mark.parametrize("kind", CLASSES)
def test_flows_are_pixels_of_the_full_size_at_every_scale(kind: type, scale: float) -> None:
    """A flow block whose convolution gives a constant adds that constant times its own shrinking."""
    model = tiny(kind)
    for index in range(len(kind.shrinks)):
        last = getattr(model, f"block{index}").lastconv[0]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.ones_(last.bias)
    side = 512 if scale < 1 else kind.min_size
    got = model(*moving(1, side, side), scale=scale)
    total = 0.0
    for shrink, flow, mask in zip(kind.shrinks, got.flow0, got.mask, strict=True):
        total += shrink / scale
        assert_near(flow, torch.full((1, 2, side, side), total), 2e-5 * total)
        assert mask.shape == (1, 1, side, side)
    # Masks' logits of 1 add up in 4.6; later, the last one counts.
    assert_near(got.mask[-1].logit(), torch.full((1, 1, side, side), 4.0 if kind is RIFE46 else 1.0), 1e-4)


@pytest.mark.parametrize(
    ("kind", "size", "given", "message"),
    [
        (RIFE46, (48, 64), {}, "RIFE46 takes heights and widths that are multiples of 32"),
        (RIFE46, (96, 64), {"scale": 0.5}, "multiples of 32 .after scaling.; got 48x32"),
        (RIFE425, (224, 224), {}, "RIFE425 takes heights and widths that are multiples of 64"),
        (RIFE425, (96, 96), {"scale": 2.0}, "multiples of 64 before scaling too; got 96x96"),
        (RIFE425Lite, (256, 448), {}, "RIFE425Lite takes heights and widths that are multiples of 128"),
        (RIFE425, (64, 64), {"scale": 0.5}, "RIFE425 takes frames of at least 64 pixels a side; got 32x32"),
        (RIFE46, (64, 64), {"time": torch.zeros(1, 1, 32, 64)}, "time maps of the frames' height and width"),
        (RIFE46, (64, 64), {"time": -0.1}, "RIFE46 takes times from 0 to 1; got -0.1"),
        (RIFE46, (64, 64), {"reference": torch.zeros(1, 3, 64, 64)}, "RIFE46 takes no reference frame"),
    ],
)
def test_unsuitable_inputs_are_refused(kind: type, size: tuple[int, int], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(kind)(*moving(1, *size), **given)


def test_unsuitable_options_are_refused() -> None:
    with pytest.raises(ValueError, match="RIFE425 has 5 flow blocks; got widths for 4"):
        RIFE425(widths=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="RIFE425 takes 1 or more head channels; got 0"):
        RIFE425(head_channels=0)


# --- how it is computed


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("kind", [RIFE46, RIFE425])
def test_the_network_compiles_as_one_graph(kind: type) -> None:
    torch.compiler.reset()
    options = {"teacher": True, **({"ensemble": True} if kind is RIFE46 else {})}
    model, given = tiny(kind, **options), {"target": frame(64, 64, 0.5, 3), "time": 0.3}
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    got, expected = compiled(*moving(), **given), model(*moving(), **given)
    assert torch.equal(got.frame, expected.frame)
    assert torch.equal(got.teacher.frame, expected.teacher.frame)


@pytest.mark.parametrize("kind", [RIFE46, RIFE425])
def test_checkpointing_gives_the_same_gradients(kind: type) -> None:
    plain, frugal = tiny(kind), tiny(kind)
    plain(*moving()).frame.square().mean().backward()
    with checkpointed(frugal, True):
        frugal(*moving()).frame.square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        assert_near(one.grad, other.grad, 1e-7, name)


@pytest.mark.slow
def test_onnx_takes_a_time(tmp_path: Path) -> None:
    assert_onnx_equals_pytorch(tiny(RIFE425), tmp_path / "tiny.onnx", (64, 64), frame_size=(64, 64))


@pytest.mark.slow
@pytest.mark.long  # a minute each
@pytest.mark.parametrize(("kind", "options"), [(RIFE46, {"ensemble": True}), (RIFE425, {}), (RIFE425Lite, {})])
def test_onnx_takes_any_size_and_time(tmp_path: Path, kind: type, options: dict[str, bool]) -> None:
    model = tiny(kind, **options)
    assert_onnx_equals_pytorch(model, tmp_path / "tiny.onnx", None, frame_size=(3 * kind.min_size, kind.min_size))


def assert_onnx_equals_pytorch(
    model: Architecture, path: Path, size: tuple[int, int] | None, frame_size: tuple[int, int]
) -> None:
    """Write the graph for a size, or for any, and run it for frames of `frame_size` height and width at two times."""
    import onnxruntime

    assert graphs.write_onnx(model, graphs.metadata_of(model, "tiny", "none", size, 1), path) < 1e-5
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["frame0", "frame1", "time"]
    frame0, frame1 = moving(1, *frame_size)
    for time in (0.1, 0.9):
        inputs = {"frame0": frame0, "frame1": frame1, "time": torch.full((1, 1, 1, 1), time)}
        (got,) = session.run(None, {name: x.numpy() for name, x in inputs.items()})
        with torch.no_grad():
            assert_near(torch.from_numpy(got), model(**inputs).frame, 1e-5)
