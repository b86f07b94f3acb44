"""AMT against the published networks: goldens `amt_s`, `amt_l`, `amt_g` and `functions_AMT`."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.goldens import golden
from tests.helpers.golden_cases import GOLDENS, Case, assert_near, frame, load
from vfi_train.architectures import create_model
from vfi_train.architectures.amt import AMT
from vfi_train.architectures.base import count_parameters
from vfi_train.architectures.layers.correlation import correlate
from vfi_train.architectures.layers.warp import resize, warp
from vfi_train.inference.interpolator import Interpolator
from vfi_train.optim.schedules import WarmupCosine
from vfi_train.weights import load_published, published_state_dict

VARIANTS = {"amt_s": 2_990_543, "amt_l": 12_935_367, "amt_g": 30_638_919}
CASES = [
    ("amt_s", "scale08_160x160"),
    ("amt_s", "t0250_128x160"),
    ("amt_s", "t0875_160x128"),
    ("amt_l", "scale08_160x160"),
    ("amt_l", "t0375_128x144"),
    ("amt_g", "scale08_160x160"),
    ("amt_g", "t0625_144x128"),
]


@functools.cache
def network(variant: str, case: str = "mid_128x128") -> AMT:
    """The variant with the weights of a golden; tests share it and leave it as it is."""
    model = load(variant, case).model().eval()
    assert isinstance(model, AMT)
    return model


def frames(case: Case) -> tuple[Tensor, Tensor]:
    inputs = case.info["inputs"]
    size = (inputs["height"], inputs["width"])
    frame0, frame1 = (frame(*size, phase, inputs["seed"], inputs["batch"]) for phase in (0.0, 1.0))
    return frame0, frame1


def times(case: Case) -> Tensor:
    return torch.tensor(case.info["timestep"]["values"]).view(-1, 1, 1, 1)


# --- the published networks


@pytest.mark.parametrize(("variant", "name"), CASES)
def test_frames_equal_the_published_network(variant: str, name: str) -> None:
    case = load(variant, name)
    model = network(variant, "mid_128x128" if case.info["salt"] == 0 else name)
    with torch.no_grad():
        got = model(*frames(case), times(case), scale=case.info["scale_factor"])
    assert_near(got.frame, case.arrays["imgt_pred"], 1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_on_the_way_equals_the_published_network(variant: str) -> None:
    case = load(variant, "mid_128x128")
    seen = everything_on_the_way(network(variant), *frames(case))
    compared = 0
    for key, stored in case.arrays.items():
        value = stored_part(seen[key], case.info["arrays"][key])
        largest = max(1, abs(stored).max())  # features reach beyond 1, where float32 has fewer decimals
        assert_near(value, stored, 1e-4 if "flow" in key else 1e-5 * largest, key)
        compared += 1
    assert compared == len(case.arrays) > 40


def everything_on_the_way(model: AMT, frame0: Tensor, frame1: Tensor) -> dict[str, Tensor]:
    """The values that the `mid` goldens name, complete, each at the place where the network computes it."""
    inputs: dict[str, tuple[Tensor, ...]] = {}
    outputs: dict[str, Any] = {}
    updated: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_: nn.Module, given: tuple[Tensor, ...], output: object) -> None:
            inputs[name], outputs[name] = given, output

        return hook

    hooks = [module.register_forward_hook(record(name)) for name, module in model.named_children()]
    before_update = model.update

    def update(level: int, e: Any, moment: Any, flow: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        updated[f"dec{level}_flow0"], updated[f"dec{level}_flow1"] = flow[:, :2], flow[:, 2:]
        updated[f"dec{level}_feat_first2"] = feature[:, :2]
        return before_update(level, e, moment, flow, feature)

    model.update = update  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            got = model(frame0, frame1, 0.5)
            encoding = model.encode(frame0, frame1)
    finally:
        del model.update
        for hook in hooks:
            hook.remove()

    n = model.fields
    candidates = inputs["comb_block"][0]
    seen = {
        "imgt_pred": got.frame,
        "mean": encoding.mean,
        "fmap0_first4": outputs["feat_encoder"][:1, :4],
        "fmap1_first4": outputs["feat_encoder"][1:, :4],
        **{f"ctx0_{k}_first2": level[:1, :2] for k, level in enumerate(outputs["encoder"], start=1)},
        **updated,
        "dec1_flow0_crop": got.flow0[-1].flatten(1, 2),
        "dec1_flow1_crop": got.flow1[-1].flatten(1, 2),
        "dec1_mask_crop": got.mask[0].flatten(1, 2),
        "dec1_res_crop": outputs["decoder1"][:, -3 * n :],
        "candidates_crop": candidates,
        "candidates_mean_crop": candidates.unflatten(1, (n, 3)).mean(1),
        "comb_out_crop": outputs["comb_block"],
    }
    for level, flow0, flow1 in zip((4, 3, 2), got.flow0, got.flow1, strict=False):
        seen |= {f"flow0_{level}": flow0, f"flow1_{level}": flow1}
    for name in (name for name in inputs if name.startswith("update")):
        _, flow, correlation = inputs[name]
        # The published high updates are given the enlarged correlation; ours enlarges it inside.
        correlation = resize(correlation, getattr(model, name).correlation_factor)
        feature_increment, flow_increment = outputs[name]
        seen |= {
            f"{name}_in_flow": flow,
            f"{name}_in_corr_pixel": correlation,
            f"{name}_in_corr_mean": correlation.mean((2, 3)),
            f"{name}_out_dfeat_first2": feature_increment[:, :2],
            f"{name}_out_dflow": flow_increment,
        }
    return seen


def stored_part(value: Tensor, description: str) -> Tensor:
    """The part of an array that a golden's description says is stored."""
    if found := re.search(r"rows (\d+):(\d+), columns (\d+):(\d+)", description):
        top, bottom, left, right = map(int, found.groups())
        return value[..., top:bottom, left:right]
    if found := re.search(r"at row (\d+), column (\d+)", description):
        return value[..., int(found[1]), int(found[2])]
    return value


def test_test_time_augmentation_equals_the_published_script() -> None:
    case = load("amt_s", "tta_128x144")
    got = Interpolator(network("amt_s"), tta=True).predict(*frames(case))
    assert_near(got.frame, case.arrays["imgt_pred"], 1e-5)


def test_recursion_equals_the_published_demo() -> None:
    case = load("amt_s", "recursion2_128x128")
    frame0, frame1 = frames(case)
    between = Interpolator(network("amt_s"), recursive=True)(frame0, frame1, [0.25, 0.5, 0.75])
    for i, image in enumerate([frame0, *between, frame1]):
        assert_near(F.avg_pool2d(image, 8), case.arrays[f"frame{i}_block8_mean"], 1e-5, f"frame {i}")


# --- names and weights


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_and_names_are_the_published_ones(variant: str) -> None:
    model = create_model(variant)
    assert count_parameters(model) == VARIANTS[variant]
    manifest = golden.load_manifest(GOLDENS / variant)
    published = {name: list(tensor.shape) for name, tensor in published_state_dict(model).items()}
    assert published == {entry["name"]: entry["shape"] for entry in manifest}
    assert list(published) == [entry["name"] for entry in manifest]


@pytest.mark.parametrize("layout", ["released", "trainer", "distributed", "bare"])
def test_published_checkpoint_layouts_load(layout: str, tmp_path: Path) -> None:
    tensors = published_state_dict(network("amt_s"))
    content = {
        "released": {"state_dict": tensors},
        "trainer": {"epoch": 299, "state_dict": tensors, "optim": {"state": {0: {"step": torch.ones(())}}}},
        "distributed": {"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}},
        "bare": tensors,
    }[layout]
    torch.save(content, tmp_path / "amt-s.pth")
    model = create_model("amt_s")
    load_published(model, tmp_path / "amt-s.pth")
    for name, tensor in published_state_dict(model).items():
        assert torch.equal(tensor, tensors[name]), name


def test_a_checkpoint_of_another_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit AMT"):
        load_published(create_model("amt_s"), published_state_dict(network("amt_l")))


def test_fresh_weights_are_drawn_as_published() -> None:
    torch.manual_seed(0)
    model = create_model("amt_l")
    # Kaiming normal by fan-out: standard deviation sqrt(2 / (128 * 9)).
    weight = model.get_parameter("feat_encoder.layer3.1.conv2.weight")
    assert weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.01)
    # PyTorch's own elsewhere: uniform within 1 / sqrt(fan in).
    weight = model.get_parameter("update4.gru.2.weight")
    assert weight.abs().max().item() == pytest.approx((1 / (128 * 9)) ** 0.5, rel=1e-3)
    assert torch.equal(model.get_parameter("comb_block.1.weight"), torch.full((30,), 0.25))


# --- correlation


def correlation_inputs() -> tuple[Tensor, ...]:
    def normal(seed: int, shape: tuple[int, ...]) -> Tensor:
        return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))

    features = [normal(seed, (2, 8, 16, 24)) for seed in (34, 35)]
    displacements = [3 * normal(seed, (2, 2, 16, 24)) for seed in (36, 37)]
    return (*features, *displacements)


def test_correlation_lookup_equals_the_published_one() -> None:
    case = load("functions_AMT", "correlation")
    features0, features1, displacement01, displacement10 = correlation_inputs()
    pyramid = correlate(features0, features1)
    got = pyramid.lookup(displacement01, displacement10)
    rows, columns = torch.tensor(case.info["pixels_row_column"]).unbind(1)
    first, second = got[:, :, rows, columns].transpose(1, 2).chunk(2, dim=-1)
    assert_near(first, case.arrays["first"], 1e-5)
    assert_near(second, case.arrays["second"], 1e-5)
    pixel = 3 * 24 + 5
    finest, _, _, coarsest = pyramid.shared.volume[0, pixel].split((16 * 24, 8 * 12, 4 * 6, 2 * 3))
    assert_near(finest.view(16, 24), case.arrays["level0_row"], 1e-5)
    assert_near(coarsest.view(2, 3), case.arrays["level3_row"], 1e-5)
    assert_near(pyramid.shared.volume[2, pixel, : 16 * 24].view(16, 24), case.arrays["level0_row_T"], 1e-5)


@pytest.mark.parametrize(("levels", "radius"), [(1, 0), (2, 1), (3, 4)])
def test_correlation_lookup_equals_grid_sampling_of_the_pooled_volume(levels: int, radius: int) -> None:
    features0, features1, displacement01, _ = (x.double() for x in correlation_inputs())
    got = correlate(features0, features1, levels, radius).lookup(displacement01, displacement01)
    volume = torch.einsum("bchw,bcij->bhwij", features0, features1).flatten(0, 2).unsqueeze(1) / 8**0.5
    offsets = torch.arange(-radius, radius + 1.0)
    window = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij"), dim=-1)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    centres = (torch.stack((x, y)) + displacement01).permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    expected = []
    for level in range(levels):
        last = torch.tensor([volume.shape[-1] - 1, volume.shape[-2] - 1])
        grid = 2 * (centres / 2**level + window) / last - 1
        expected.append(F.grid_sample(volume, grid, align_corners=True).flatten(1))
        volume = F.avg_pool2d(volume, 2)
    expected = torch.cat(expected, dim=1).view(2, 16, 24, -1).permute(0, 3, 1, 2)
    assert_near(got[:, : expected.shape[1]], expected, 1e-12)


def test_correlation_far_outside_is_zero_whatever_the_distance() -> None:
    features0, features1, _, _ = correlation_inputs()
    far = torch.tensor([100.0, 1e6, 1e15, 1e30]).repeat(2, 2, 16, 6) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    got = correlate(features0, features1).lookup(far, -far)
    assert_near(got, torch.zeros(2, 392, 16, 24), 0)


def test_correlation_where_a_displacement_is_not_finite_is_nan() -> None:
    features0, features1, displacement01, displacement10 = correlation_inputs()
    pyramid = correlate(features0, features1)
    expected = pyramid.lookup(displacement01, displacement10)
    bad = displacement01.clone()
    bad[0, 0, 2, 3], bad[1, 1, 4, 5], bad[1, 0, 6, 7] = torch.inf, -torch.inf, torch.nan
    wrong = torch.zeros_like(expected, dtype=torch.bool)
    wrong[:, : expected.shape[1] // 2] = ~bad.isfinite().all(dim=1, keepdim=True)
    got = pyramid.lookup(bad, displacement10)
    assert torch.equal(got.isnan(), wrong)
    assert torch.equal(got.masked_fill(wrong, 0), expected.masked_fill(wrong, 0))


def test_correlation_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    features = [torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    # A fraction away from integer pixels of both levels, where bilinear sampling has a kink.
    displacements = [
        (torch.randint(-3, 4, (1, 2, 4, 5)) + 0.2 + 0.2 * torch.rand(1, 2, 4, 5, dtype=torch.float64)).requires_grad_()
        for _ in range(2)
    ]

    def lookup(*x: Tensor) -> Tensor:
        return correlate(x[0], x[1], levels=2, radius=1).lookup(x[2], x[3])

    assert torch.autograd.gradcheck(lookup, (*features, *displacements), fast_mode=True)


# --- warp, resize, learning rate


def test_warp_equals_the_published_one() -> None:
    case = load("functions_AMT", "warp")
    got = warp(frame(12, 17, 0.0, 31, 2), case.tensor("flow"))
    assert_near(got, case.arrays["out"], 1e-5)


def test_resize_equals_the_published_one() -> None:
    case = load("functions_AMT", "resize")
    for factor in (0.25, 0.5, 0.8, 1.25, 2, 4):
        got = resize(frame(20, 40, 0.0, 33), factor)
        assert_near(got, case.arrays[f"by_{factor:g}".replace(".", "p")], 1e-6, str(factor))


def test_learning_rates_equal_the_published_schedule() -> None:
    table = load("functions_AMT", "lr_schedule").info["table"]
    assert len(table) == 4
    for row in table:
        schedule = WarmupCosine(floor=row["lr_min"])
        total = row["epochs"] * row["iterations_per_epoch"]
        got = [schedule(i, peak=row["lr"], total=total) for i in row["iterations"]]
        assert got == pytest.approx(row["lr_values"], rel=1e-12), row["config"]


# --- what callers rely on


def test_prediction_fields_add_up() -> None:
    case = load("amt_s", "t0250_128x160")
    frame0, frame1 = frames(case)
    with torch.no_grad():
        got = network("amt_s")(frame0, frame1, times(case))
    sizes = [(16, 20), (32, 40), (64, 80)]
    assert [tuple(f.shape) for f in got.flow0] == [(1, 2, *s) for s in sizes] + [(1, 3, 2, 128, 160)]
    assert [f.shape for f in got.flow1] == [f.shape for f in got.flow0]
    assert [tuple(f.shape) for f in got.features] == [(1, c, *s) for c, s in zip((44, 32, 20), sizes, strict=True)]
    mask = got.mask[0]
    assert tuple(mask.shape) == (1, 3, 1, 128, 160)
    fields = [
        mask[:, j] * warp(frame0, got.flow0[-1][:, j]) + (1 - mask[:, j]) * warp(frame1, got.flow1[-1][:, j])
        for j in range(3)
    ]
    # The mean is taken off before warping and added after: the same for a warp that repeats borders.
    assert_near(got.merged[0], torch.stack(fields).mean(0), 1e-5)
    assert_near(got.frame, (got.merged[0] + got.residual).clamp(0, 1), 0)


def test_one_encoding_is_used_for_many_times() -> None:
    model = network("amt_s")
    frame0, frame1 = frame(128, 144, 0.0), frame(128, 144, 1.0)
    with torch.no_grad():
        encoding = model.encode(frame0, frame1)
        for time in (0.125, 0.75):
            got = model.decode(encoding, torch.full((1, 1, 1, 1), time)).frame
            assert_near(got, model(frame0, frame1, time).frame, 0)


def test_samples_of_a_batch_do_not_touch_each_other() -> None:
    model = network("amt_s")
    frame0, frame1 = frame(128, 128, 0.0, 5, 2), frame(128, 128, 1.0, 5, 2)
    both = torch.tensor([0.25, 0.625]).view(2, 1, 1, 1)
    with torch.no_grad():
        got = model(frame0, frame1, both)
        for i in range(2):
            single = model(frame0[i : i + 1], frame1[i : i + 1], both[i : i + 1])
            assert_near(got.frame[i : i + 1], single.frame, 1e-5)


def test_frame_shapes_one_after_another_equal_fresh_models() -> None:
    model = network("amt_s")
    tensors = published_state_dict(model)
    for height, width in ((128, 128), (144, 176), (128, 128)):
        pair = frame(height, width, 0.0), frame(height, width, 1.0)
        fresh = create_model("amt_s").eval()
        load_published(fresh, tensors)
        with torch.no_grad():
            assert_near(model(*pair).frame, fresh(*pair).frame, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"frame": (1, 3, 112, 128)}, "at least 128"),
        ({"frame": (1, 3, 128, 136)}, "multiples of 16"),
        ({"frame": (1, 3, 160, 160), "scale": 0.5}, "at least 128"),
        ({"time": 0}, "take frame0 itself"),
        ({"time": 1.0}, "take frame1 itself"),
        ({"time": torch.zeros(1, 1, 128, 128)}, "not a map"),
        ({"reference": torch.zeros(1, 3, 128, 128)}, "takes no reference frame"),
    ],
)
def test_inputs_that_do_not_suit_are_refused(call: dict[str, Any], message: str) -> None:
    x = torch.zeros(call.pop("frame", (1, 3, 128, 128)))
    with pytest.raises(ValueError, match=message):
        network("amt_s")(x, x, **call)


# --- precision, memory format, compilation


@pytest.mark.parametrize(
    ("variant", "tolerance"),
    [("amt_s", 0.004), pytest.param("amt_l", 0.0015, marks=[pytest.mark.slow, pytest.mark.long])],
)
def test_bfloat16_stays_close(variant: str, tolerance: float) -> None:
    model = network(variant)
    pair = frame(128, 128, 0.0), frame(128, 128, 1.0)
    with torch.no_grad():
        exact = model(*pair)
        with torch.autocast("cpu", torch.bfloat16):
            got = model(*pair)
    assert got.frame.dtype == torch.float32
    assert all(flow.dtype == torch.float32 for flow in (*got.flow0, *got.flow1))
    assert (got.frame - exact.frame).abs().mean().item() < tolerance
    for flow, reference in zip(got.flow0, exact.flow0, strict=True):
        assert (flow - reference).abs().mean() < 0.03 * reference.abs().mean()


def test_correlation_is_computed_in_float32_under_autocast() -> None:
    features0, features1, displacement01, displacement10 = correlation_inputs()
    exact = correlate(features0, features1).lookup(displacement01, displacement10)
    with torch.autocast("cpu", torch.bfloat16):
        got = correlate(features0, features1).lookup(displacement01, displacement10)
    assert got.dtype == torch.float32
    assert torch.equal(got, exact)


def test_channels_last_gives_the_same_numbers() -> None:
    model = create_model("amt_s").eval().to(memory_format=torch.channels_last)
    load_published(model, published_state_dict(network("amt_s")))
    pair = [frame(128, 144, phase) for phase in (0.0, 1.0)]
    with torch.no_grad():
        got = model(*(f.to(memory_format=torch.channels_last) for f in pair))
        exact = network("amt_s")(*pair)
    assert_near(got.frame, exact.frame, 1e-5)
    assert_near(got.flow0[-1], exact.flow0[-1], 1e-4)


@pytest.mark.slow  # tracing takes a minute
def test_the_network_compiles_as_one_graph() -> None:
    torch.compiler.reset()
    model = network("amt_s")
    pair = frame(128, 128, 0.0), frame(128, 128, 1.0)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert_near(compiled(*pair, 0.5).frame, model(*pair, 0.5).frame, 1e-6)
