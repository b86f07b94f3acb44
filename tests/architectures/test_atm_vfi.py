"""ATM-VFI against the published networks: goldens `atm_vfi_*` and `functions_ATM-VFI`."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.goldens import golden
from tests.helpers.golden_cases import Case, assert_near, frame, load
from vfi_train.architectures import create_model
from vfi_train.architectures.atm_vfi import ATMVFI
from vfi_train.architectures.atm_vfi.attention import MotionBlock, SelfBlock, window_coordinates
from vfi_train.architectures.atm_vfi.features import CrossScaleFusion
from vfi_train.architectures.atm_vfi.network import alignment_errors
from vfi_train.architectures.atm_vfi.synthesis import blend, enlarge_flow, half_size
from vfi_train.architectures.base import count_parameters
from vfi_train.architectures.layers.warp import warp
from vfi_train.architectures.layers.window import BLOCKED, WindowGrid
from vfi_train.inference.interpolator import Interpolator

VARIANTS = ("atm_vfi_base", "atm_vfi_lite")


@functools.cache
def golden_model(variant: str, dtype: torch.dtype) -> ATMVFI:
    """All cases of a variant have the same weights, and making them takes longer than running the network."""
    if dtype == torch.float64:
        return copy.deepcopy(golden_model(variant, torch.float32)).double()
    model = load(variant, "small_global").model().eval()
    assert isinstance(model, ATMVFI)
    return model


def case_model(case: Case, dtype: torch.dtype = torch.float32) -> ATMVFI:
    model = golden_model(case.folder, dtype)
    model.global_motion = case.info["global_motion"]
    model.ensemble_global_motion = case.info.get("ensemble_global_motion", False)
    return model


def case_of_lite(name: str) -> tuple[Case, ATMVFI]:
    """A case and a model of its own, which a test may change."""
    case = load("atm_vfi_lite", name)
    return case, copy.deepcopy(case_model(case))


def case_frames(case: Case, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    inputs = case.info["input"]["frames"]
    size = (inputs["height"], inputs["width"])
    return [frame(*size, phase, inputs["seed"], inputs["batch"]).to(dtype) for phase in (0.0, 1.0)]


@contextmanager
def record(model: ATMVFI) -> Iterator[dict[str, Tensor]]:
    """What passes between the parts of the network, by the goldens' names; filled by each call."""
    seen: dict[str, Tensor] = {}
    hooks = []

    def keep(part: nn.Module, take: Callable[[Any], dict[str, Tensor]]) -> None:
        hooks.append(part.register_forward_hook(lambda _, inputs, output: seen.update(take(output))))

    def tokens(x: Tensor) -> Tensor:
        return x[..., :16].flatten(1, 2)

    def motion(name: str) -> Callable[[Any], dict[str, Tensor]]:
        return lambda out: {name: out[1].flatten(1, 2)}

    local, glob = model.local_estimator, model.global_estimator
    keep(model.encoder[3], lambda out: {"feat3_head": out[:, :8]})
    keep(local.fusion, lambda out: {"fused_head": tokens(out)})
    keep(glob.fusion, lambda out: {"gfused_head": tokens(out)})
    for i in range(2):
        keep(local.attention[i], motion(f"lmotion{i}"))
        keep(glob.attention[i], motion(f"gmotion{i}"))
    keep(glob.head, lambda out: {"global_raw": out})
    keep(local.head, lambda out: {"local_raw": out})
    keep(local, lambda out: {"atm_head": tokens(out[0])})
    keep(model.enhancement[1], lambda out: {"enh_head": tokens(out)})
    keep(model.decoder[0], lambda out: {"up0_raw": out[:, -5:]})
    keep(model.decoder[1], lambda out: {"up1_raw": out[:, -5:]})
    keep(model.decoder[2], lambda out: {"opt_flow_0": out[:, -5:-3], "opt_flow_1": out[:, -3:-1]})
    yield seen
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["small_local", "small_global", "rect_global", "ensemble"])
def test_float64_equals_the_published_network_at_every_step(variant: str, name: str) -> None:
    case = load(variant, name)
    model = case_model(case, torch.float64)
    with record(model) as seen, torch.no_grad():
        got = model(*case_frames(case, torch.float64))
    assert_near(got.frame, case.arrays["I_t_float64"], 1e-11)
    seen |= {"occ_mask1": got.mask[-1], "merged": got.merged[-1], "residual": got.residual}
    seen |= {f"im_t_{k}": merged for k, merged in enumerate(reversed(got.merged)) if k > 0}
    seen |= {"I_t_0": got.warped0[-1]}
    checked_elsewhere = {"I_t", "I_t_float64", "align_loss", "chosen_flow_0", "chosen_flow_1"}
    for key in case.arrays.keys() - checked_elsewhere:  # float32: what differs is the goldens' own rounding
        scale = float(np.abs(case.arrays[key]).max())
        assert_near(seen[key] / scale, case.arrays[key] / scale, 1e-4, key)
    if name == "small_local":
        assert torch.equal(got.flow0[-1], seen["opt_flow_0"])
        assert torch.equal(got.flow1[-1], seen["opt_flow_1"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["small_local", "small_global", "rect_global", "ensemble"])
def test_float32_equals_the_published_network(variant: str, name: str) -> None:
    case = load(variant, name)
    model, frames = case_model(case), case_frames(case)
    with torch.no_grad():
        got = model(*frames).frame
    # The global branch amplifies rounding: the published network itself differs between precisions.
    largest, mean = (1e-4, 1e-5) if name == "small_local" else (2e-3, 1e-4)
    assert_near(got, case.arrays["I_t"], largest)
    assert (got - case.tensor("I_t")).abs().mean() <= mean


@pytest.mark.parametrize("variant", VARIANTS)
def test_ensemble_of_the_published_network(variant: str) -> None:
    case = load(variant, "ensemble")
    model = case_model(case)
    with torch.no_grad():
        encoding = model.encode(*case_frames(case))
        flow, logit = model.global_flow(encoding)
        errors = alignment_errors(encoding.frames, model.global_flow_candidates(encoding))
    assert logit is None
    assert_near(errors, case.arrays["align_loss"], 1e-5, "alignment")
    chosen = np.concatenate([case.arrays[f"chosen_flow_{side}"] for side in (0, 1)])
    assert_near(flow, chosen, 1e-4, "flow")


def test_ensemble_keeps_for_each_sample_the_flow_that_aligns_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pair is still, one moved by 8 pixels; candidates know one or the other. Of equals, the finest."""
    _, model = case_of_lite("ensemble")
    wide = (frame(64, 72, 0.0, 3) > 0.5).float()
    frame0 = torch.cat((wide[..., 8:], wide[..., 8:]))
    frame1 = torch.cat((wide[..., 8:], wide[..., :64]))
    still = [torch.zeros(4, 2, 4 // k, 4 // k) for k in (1, 2, 4)]
    moved = still[2].clone()
    moved[:2, 0], moved[2:, 0] = -1 / 16, 1 / 16  # four pixels at full size, a quarter of one at 1/16
    encoding = model.encode(frame0, frame1)
    for candidates, expected in (
        ([*still[:2], moved], (0.0, -0.25, 0.0, 0.25)),
        (still, (0.0, 0.0, 0.0, 0.0)),
    ):
        monkeypatch.setattr(model, "global_flow_candidates", lambda *_, c=candidates: c)
        flow, _ = model.global_flow(encoding)
        assert_near(flow[:, 0], torch.tensor(expected).view(4, 1, 1).expand(4, 4, 4), 0)
        assert_near(flow[:, 1], torch.zeros(4, 4, 4), 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_demo_pads_to_multiples_of_64(variant: str) -> None:
    case = load(variant, "demo_pad")
    frames = [torch.round(255 * f) / 255 for f in case_frames(case)]
    got = Interpolator(case_model(case), padding_multiple=64)(*frames, 0.5)[0]
    assert_near(got, case.arrays["I_t"], 2e-3)
    steps = (torch.round(255 * got) - case.tensor("uint8")).abs()
    assert steps.max() <= 1  # where 255 * I_t is near a half
    assert (steps > 0).double().mean() < 0.001


@pytest.mark.parametrize(
    ("name", "seed"), [("atm_block_plain", 1), ("atm_block_padded", 2), ("atm_block_shifted_padded", 3)]
)
def test_motion_block(name: str, seed: int) -> None:
    case = load("functions_ATM-VFI", name)
    info = case.info
    block = fill(MotionBlock(info["dim"], info["window"], info["mlp_ratio"]), case)
    x, grid = block_input(case, seed)
    mask = grid.mask(x.device)
    with torch.no_grad():
        features, motion = block(x, grid, mask)
    assert_near(features.flatten(1, 2), case.arrays["feature"], 1e-5)
    assert_near(motion.flatten(1, 2), case.arrays["motion"], 1e-5)
    if name == "atm_block_plain":
        assert mask is None
    else:
        assert_same_mask(mask, case)


def test_self_block() -> None:
    case = load("functions_ATM-VFI", "self_block_shifted_padded")
    block = fill(SelfBlock(case.info["dim"], case.info["mlp_ratio"]), case)
    x, grid = block_input(case, seed=4)
    mask = grid.mask(x.device)
    with torch.no_grad():
        features = block(x, grid, mask)
    assert_near(features.flatten(1, 2), case.arrays["feature"], 1e-5)
    assert_same_mask(mask, case)


def assert_same_mask(mask: Tensor | None, case: Case) -> None:
    """The published mask adds -100 to the logits of the same pairs."""
    assert mask is not None
    assert_near(mask * (-100 / BLOCKED), case.arrays["mask"], 0)


def fill(module: nn.Module, case: Case) -> nn.Module:
    tensors = golden.state_dict(case.info["tensors"], case.info["gain"])
    module.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()}, strict=True)
    return module


def block_input(case: Case, seed: int) -> tuple[Tensor, WindowGrid]:
    info = case.info
    shape = (2 * info["B"], info["H"], info["W"], info["dim"])
    x = torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))
    return x, WindowGrid(info["H"], info["W"], info["window"], info["shift"])


def test_relative_coordinates() -> None:
    coordinates = window_coordinates(3)
    table = (coordinates[None, :] - coordinates[:, None]).permute(2, 0, 1)[None, None]
    assert_near(table, load("functions_ATM-VFI", "relative_coord").arrays["table"], 0)


def test_cross_scale_fusion() -> None:
    case = load("functions_ATM-VFI", "cross_scale_fusion")
    fusion = fill(CrossScaleFusion(*case.info["in_dims"]), case)
    assert fusion.width == case.info["fused_dim"]
    shapes = ((2, 4, 16, 24), (2, 6, 8, 12), (2, 8, 4, 6))
    inputs = (np.random.RandomState(i).standard_normal(s).astype(np.float32) for i, s in enumerate(shapes, 1))
    with torch.no_grad():
        got = fusion(*map(torch.from_numpy, inputs))
    assert_near(got.flatten(1, 2), case.arrays["out"], 1e-5)


def test_warp_and_resizes() -> None:
    case = load("functions_ATM-VFI", "flow_warp")
    image = frame(12, 16, 0.0, 4, 2)
    flow = torch.from_numpy((np.random.RandomState(1).standard_normal((2, 2, 12, 16)) * 3).astype(np.float32))
    assert_near(warp(image, flow, padding_mode="zeros"), case.arrays["warped"], 1e-5)
    assert_near(enlarge_flow(flow, 2), case.arrays["upsampled_flow_x2"], 1e-5)
    assert_near(half_size(image), case.arrays["half"], 1e-6)


def test_parameter_counts_and_the_parts_that_phases_train() -> None:
    counts = {"atm_vfi_base": (51_564_259, 27_762_615), "atm_vfi_lite": (11_975_523, 5_916_599)}
    refinement_of_base = (66_944, 36_992, 442_880, 2_360_832, 279_040, 205_184, 32_896, 75_590)
    for variant, (total, in_global_branch) in counts.items():
        model = golden_model(variant, torch.float32)
        assert count_parameters(model) == total
        named = dict(model.named_parameters())
        of_global_branch = [p for name, p in named.items() if name.startswith("global_")]
        assert (len(named), len(of_global_branch)) == (232, 60)
        assert sum(p.numel() for p in of_global_branch) == in_global_branch
        if variant == "atm_vfi_base":
            refinement = sum(p.numel() for name, p in named.items() if name.startswith("refinement."))
            assert refinement == sum(refinement_of_base)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = create_model("atm_vfi_lite")
    block, fusion = model.local_estimator.attention[0], model.global_estimator.fusion
    assert block.attn.kv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert block.mlp.dwconv.dwconv.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert fusion.proj.weight.std().item() == pytest.approx((2 / 352) ** 0.5, rel=0.02)
    assert block.attn.proj.bias.abs().max() == 0
    assert fusion.layers[0].bias.abs().max() == 0
    convolution, slopes = model.encoder[2][0]  # outside of fusion and blocks: PyTorch's own
    assert convolution.weight.abs().max().item() == pytest.approx((32 * 9) ** -0.5, rel=0.01)
    assert slopes.weight.unique().tolist() == [0.25]


def test_global_branch_may_be_switched_on_a_built_model() -> None:
    local = load("atm_vfi_lite", "small_local")
    both, model = case_of_lite("small_global")
    with torch.no_grad():
        first = model(*case_frames(both))
        model.global_motion = False
        second = model(*case_frames(local))
    assert_near(first.frame, both.arrays["I_t"], 2e-3)
    assert_near(second.frame, local.arrays["I_t"], 1e-4)
    assert (len(first.merged), len(second.merged)) == (5, 4)


def test_sizes_follow_the_switches() -> None:
    model = create_model("atm_vfi_lite", global_motion=False)
    seen = [(model.size_multiple, model.min_size)]
    model.global_motion = True
    seen.append((model.size_multiple, model.min_size))
    model.ensemble_global_motion = True
    seen.append((model.size_multiple, model.min_size))
    assert seen == [(8, 16), (16, 32), (64, 64)]
    with pytest.raises(ValueError, match="multiples of 64"):
        model(torch.zeros(1, 3, 96, 160), torch.zeros(1, 3, 96, 160))
    with pytest.raises(ValueError, match="only the middle frame"):
        model(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64), 0.25)


@pytest.mark.parametrize("switch", ["local", "global", "ensemble"])
def test_smallest_frames(switch: str) -> None:
    _, model = case_of_lite("small_global")
    model.global_motion, model.ensemble_global_motion = switch != "local", switch == "ensemble"
    side = model.min_size
    frames = frame(side, side, 0.0), frame(side, side, 1.0)
    with torch.no_grad():
        full, scaled = model(*frames).frame, model(*(f.repeat(1, 1, 2, 2) for f in frames), scale=0.5).frame
    assert full.isfinite().all()
    assert scaled.isfinite().all()
    assert scaled.shape == (1, 3, 2 * side, 2 * side)


def test_flow_leads_through_both_branches() -> None:
    """A ramp shows where its pixels come from; bilinear sampling of linear maps is exact."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (32, 48)), indexing="ij")
    ramp = torch.stack((x, y, x + y)).expand(2, 3, 32, 48)
    before = torch.stack((0.1 * x - 3, 0.05 * y - 0.02 * x)).expand(2, 2, 32, 48)
    local = torch.rand(2, 2, 32, 48, dtype=torch.float64) * 4 - 2
    moved = warp(ramp, before, padding_mode="zeros")
    got = blend(moved, local, torch.zeros(1, 1, 32, 48, dtype=torch.float64), before)
    inner = (..., slice(6, 26), slice(6, 42))  # zeros lie outside
    assert_near(got.warped[:, :2][inner], (ramp[:, :2] + got.flow)[inner], 1e-11)
    assert (got.flow - local)[inner].abs().max() > 1


def test_frames_of_two_shapes_one_after_the_other() -> None:
    """96x160 and 160x96 pad to windows of one area: nothing of the first may be left for the second."""
    case, model = case_of_lite("rect_global")
    fresh, wide = copy.deepcopy(model), case_frames(case)
    tall = [f.mT.contiguous() for f in wide]
    with torch.no_grad():
        first, second, again = (model(*frames).frame for frames in (wide, tall, wide))
        assert_near(second, fresh(*tall).frame, 0)
    assert_near(again, first, 0)
    assert_near(first, case.arrays["I_t"], 2e-3)


def test_windows_may_be_changed() -> None:
    case, model = case_of_lite("small_global")
    frames = case_frames(case)
    built = create_model("atm_vfi_lite", local_window=4, global_window=2).eval()
    built.load_state_dict(model.state_dict())
    with torch.no_grad():
        before = model(*frames).frame
        model.set_windows(4, 2)
        changed = model(*frames).frame
        model.set_windows(8, 12)
        assert_near(changed, built(*frames).frame, 0)
        assert_near(model(*frames).frame, before, 0)
    assert (changed - before).abs().max() > 0.01


def test_scale_estimates_motion_on_smaller_frames() -> None:
    """Motion, mask and residual are those of the small frames, enlarged; colours come from the frames."""
    model = case_model(load("atm_vfi_lite", "small_global"), torch.float64)
    frames = [frame(128, 192, phase, 3).double() for phase in (0.0, 1.0)]

    def resized(x: Tensor, *size: int) -> Tensor:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    small = [resized(f, 64, 96) for f in frames]
    with torch.no_grad(), record(model) as seen:
        got, expected = model(*frames, scale=0.5), model(*small)
        flow_before = model.global_flow(model.encode(*small))[0][:1]
    for _ in range(4):
        flow_before = enlarge_flow(flow_before, 2)
    warped = frames[0]
    for flow in (flow_before, seen["opt_flow_0"]):
        warped = warp(warped, 2 * resized(flow, 128, 192), padding_mode="zeros")
    assert_near(got.warped0[-1], warped, 1e-9)
    assert_near(got.residual, resized(expected.residual, 128, 192), 1e-9)
    assert_near(got.frame, (got.merged[-1] + got.residual).clamp(0, 1), 0)
    assert_near(got.merged[-2], expected.merged[-2], 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", [False, True])
def test_traces_without_graph_breaks(ensemble: bool) -> None:
    _, model = case_of_lite("small_global")
    model.ensemble_global_motion = ensemble
    frames = [frame(64, 64, phase, 1) for phase in (0.0, 1.0)]
    try:
        with torch.no_grad():
            compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=False)
            assert_near(compiled(*frames).frame, model(*frames).frame, 1e-6)
    finally:
        torch._dynamo.reset()


@pytest.mark.parametrize(("name", "mean"), [("small_local", 0.007), ("small_global", 0.036)])
def test_bfloat16_and_channels_last(name: str, mean: float) -> None:
    """Random weights amplify: the limits are twice what was measured."""
    case, model = case_of_lite(name)
    frames = case_frames(case)
    with torch.no_grad():
        plain = model(*frames).frame
        model.to(memory_format=torch.channels_last)
        frames = [f.contiguous(memory_format=torch.channels_last) for f in frames]
        assert_near(model(*frames).frame, plain, 1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(*frames)
    assert {f.dtype for f in (half.frame, *half.flow0, *half.merged, *half.mask)} == {torch.float32}
    assert half.frame.isfinite().all()
    assert (half.frame - plain).abs().mean() < mean
