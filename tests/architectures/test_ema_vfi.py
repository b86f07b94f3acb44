"""EMA-VFI against the published network: goldens `ema_vfi`, `ema_vfi_small` and `functions_EMA-VFI`."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.layers import trunc_normal_
from torch import Tensor, nn

from losses.census import Census
from losses.laplacian import Laplacian
from tests.helpers.golden_cases import Case, assert_near, frame, golden, load
from tests.helpers.loss_sets import loss_set
from vfi_train.architectures import Architecture, create_model
from vfi_train.architectures.base import count_parameters
from vfi_train.architectures.ema_vfi import EMAVFI
from vfi_train.architectures.ema_vfi.attention import InterFrameBlock, WindowedMap, coordinate_map
from vfi_train.architectures.ema_vfi.backbone import CrossScaleEmbed, draw_normal
from vfi_train.architectures.ema_vfi.flow import FlowHead
from vfi_train.architectures.ema_vfi.network import warp_pyramid
from vfi_train.architectures.layers.warp import warp
from vfi_train.contract import Batch, Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.optim.schedules import WarmupCosine
from vfi_train.weights import load_published, published_state_dict

VARIANTS = ("ema_vfi", "ema_vfi_small")
FUNCTIONS = "functions_EMA-VFI"


@functools.cache
def golden_model(variant: str) -> EMAVFI:
    """The network with the goldens' weights; all cases have the same."""
    return load(variant, "multi_t_96x64").model().eval()


def inputs(case: Case) -> tuple[Tensor, Tensor]:
    i = case.info["inputs"]
    return tuple(frame(i["height"], i["width"], phase, i["seed"], i["batch"]) for phase in (0.0, 1.0))


def half(frame0: Tensor, time: float = 0.5) -> Tensor:
    return torch.full((len(frame0), 1, 1, 1), time)


# --- the complete network


@pytest.mark.parametrize(
    ("variant", "total", "tensors", "parts"),
    [
        ("ema_vfi", 65_662_359, 266, (17_800_256, 555_156, 47_306_947)),
        ("ema_vfi_small", 14_489_815, 186, (2_506_784, 148_564, 11_834_467)),
    ],
)
def test_sizes(variant: str, total: int, tensors: int, parts: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        for name in (variant, f"{variant}_t"):
            model = create_model(name)
            assert count_parameters(model) == total
            assert len(model.state_dict()) == tensors
            assert tuple(map(count_parameters, (model.feature_bone, model.block, model.unet))) == parts
            assert (model.size_multiple, model.channel_order) == (16, "bgr")
            assert model.arbitrary_time == name.endswith("_t")
        with_reference = EMAVFI(32, (2, 2, 2, 4, 4), in_channels=7)
    assert count_parameters(with_reference) == 65_663_511


def test_fixed_time_variants_refuse_other_times() -> None:
    frames = torch.zeros(2, 1, 3, 32, 32)
    with torch.device("meta"):
        fixed, free = create_model("ema_vfi_small"), create_model("ema_vfi_small_t")
    with pytest.raises(ValueError, match=r"only the middle frame \(time 0\.5\); got time 0\.3"):
        fixed.check(*frames, 0.3)
    free.check(*frames, 0.3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_part_of_the_network(variant: str) -> None:
    case, model = load(variant, "intermediates_48x80"), golden_model(variant)
    with torch.no_grad():
        encoding = model.encode(*inputs(case))
        got = model.decode(encoding, half(encoding.frame0))
    seen = {"pred": got.frame, "merged_stage2": got.merged[1], "residual": got.residual}
    for stage, (flow0, flow1, mask) in enumerate(zip(got.flow0, got.flow1, got.mask, strict=True), start=1):
        seen |= {f"flow_stage{stage}": torch.cat((flow0, flow1), dim=1), f"mask_stage{stage}": mask}
    seen |= {f"af{k}_every32": x[:, ::32] for k, x in enumerate(encoding.appearance, start=1)}
    seen |= {f"mf{k}_every32": x[:, ::32] for k, x in enumerate(encoding.estimation.motion, start=4)}
    warped = warp_pyramid(encoding.appearance, torch.cat((got.flow0[1], got.flow1[1]), dim=1))
    seen |= {"c0_level4_every32": warped[3][:1, ::32], "c1_level5_every32": warped[4][1:, ::32]}
    assert seen.keys() == case.arrays.keys()
    for key, value in seen.items():
        # Features are of size 1, five times that of colours; flows are in pixels.
        assert_near(value, case.arrays[key], 1e-4 if key.startswith("flow") else 1e-5, key)


@pytest.mark.parametrize("variant", VARIANTS)
def test_windows_without_padding_at_another_time(variant: str) -> None:
    case = load(variant, "nopad_112x112_t030")
    frames = inputs(case)
    with torch.no_grad():
        got = golden_model(variant)(*frames, half(frames[0], case.info["timestep"]))
    assert_near(got.frame, case.arrays["pred"], 1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_many_times_from_one_encoding(variant: str) -> None:
    case, model = load(variant, "multi_t_96x64"), golden_model(variant)
    with torch.no_grad():
        encoding = model.encode(*inputs(case))
        for index, time in enumerate(case.info["time_list"]):
            got = model.decode(encoding, half(encoding.frame0, time))
            assert_near(got.frame[0], case.arrays[f"pred_{index}"], 1e-5, f"time {time}")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("call", ["hr_half", "hr_quarter_t025", "tta", "hr_half_fast_tta"])
def test_scales_and_test_time_augmentation(variant: str, call: str) -> None:
    case = load(variant, "scales_tta_64x128")
    options = case.info["calls"][call]
    interpolator = Interpolator(
        golden_model(variant),
        scale=options.get("down_scale", 1.0),
        tta=options.get("TTA", False),
        tta_batched=options.get("fast_TTA", False),
    )
    # The golden's frames are in the network's order of channels, the interpolator's are RGB.
    frame0, frame1 = (x.flip(1) for x in inputs(case))
    with torch.no_grad():
        got = interpolator.predict(frame0, frame1, half(frame0, options.get("timestep", 0.5)))
    assert_near(got.frame.flip(1), case.arrays[call], 1e-5)


# --- training


def norm(x: Tensor) -> float:
    """Summed in float64: float32 loses the fourth digit of a million squares on one core."""
    return x.double().norm().item()


def separate_losses(got: Prediction, batch: Batch) -> list[float]:
    images = (got.frame, *got.merged)
    return [Laplacian()(Prediction(frame=image), batch).item() for image in images]


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_step_equals_the_published_one(variant: str) -> None:
    case = load(variant, "train_step_64x64")
    model = copy.deepcopy(golden_model(variant)).train()
    i = case.info["inputs"]
    target = frame(i["height"], i["width"], 0.5, i["seed"], i["batch"])
    frames, batch = inputs(case), Batch(target=target)
    got = model(*frames, half(frames[0]))
    total = loss_set("ema_vfi")(got, batch)["total"]
    total.backward()
    assert_near(got.frame, case.arrays["pred"], 1e-5)
    expected = [case.arrays[key].item() for key in ("lap_pred", "lap_merged_stage1", "lap_merged_stage2")]
    assert separate_losses(got, batch) == pytest.approx(expected, rel=1e-5)
    assert total.item() == pytest.approx(case.arrays["loss"].item(), rel=1e-5)

    parameters = dict(model.named_parameters())
    assert all(p.grad is not None for p in parameters.values())
    named = [parameters[name] for name in case.info["parameters"]]
    norms = [norm(p.grad) for p in named]
    assert norms == pytest.approx(case.arrays["grad_norms"].tolist(), rel=1e-4)
    all_norms = torch.tensor([norm(p.grad) for p in parameters.values()])
    assert norm(all_norms) == pytest.approx(case.arrays["total_grad_norm"].item(), rel=1e-4)

    before = [p.detach().clone() for p in named]
    torch.optim.AdamW(named, lr=case.info["learning_rate"], weight_decay=1e-4).step()
    changes = [norm(p.detach() - old) for p, old in zip(named, before, strict=True)]
    assert changes == pytest.approx(case.arrays["step_change_norms"].tolist(), rel=1e-4)


def test_one_time_per_item_and_frozen_parts() -> None:
    case = load("ema_vfi_small", "co3d_batch_timesteps_64x64")
    model = copy.deepcopy(golden_model("ema_vfi_small")).train()
    trained = ("unet", "feature_bone.block1", "feature_bone.block2", "feature_bone.block3")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    free = [p for p in model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in free) == case.info["trainable_count"]

    times = case.info["timesteps"]
    i = case.info["inputs"]
    target = torch.stack([frame(i["height"], i["width"], time, i["seed"], 2)[k] for k, time in enumerate(times)])
    batch = Batch(target=target)
    got = model(*inputs(case), torch.tensor(times))
    total = loss_set("ema_vfi")(got, batch)["total"]
    total.backward()
    assert_near(got.frame, case.arrays["pred"], 1e-5)
    assert total.item() == pytest.approx(case.arrays["loss"].item(), rel=1e-5)
    expected = [*case.arrays["lap_pred"], *case.arrays["lap_merged"]]
    assert separate_losses(got, batch) == pytest.approx(expected, rel=1e-5)
    parameters = dict(model.named_parameters())
    norms = [norm(parameters[name].grad) for name in case.info["parameters"]]
    assert norms == pytest.approx(case.arrays["grad_norms"].tolist(), rel=1e-4)


def test_learning_rate() -> None:
    info = load(FUNCTIONS, "learning_rate").info
    main, fork = info["main"], info["co3d_fork"]
    schedule = WarmupCosine(floor=2e-5, warmup_steps=2000)
    total = 300 * main["steps_per_epoch"]
    rates = [schedule(step, peak=2e-4, total=total) for step in main["steps"]]
    assert rates == pytest.approx(main["values"], rel=1e-9, abs=0)
    epoch = fork["steps_per_epoch"]
    schedule = WarmupCosine(floor=2e-5, warmup_steps=5 * epoch, start=2e-5, steps=300 * epoch)
    rates = [schedule(step, peak=1e-4, total=200 * epoch) for step in fork["steps"]]
    assert rates == pytest.approx(fork["values"], rel=1e-9)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = create_model("ema_vfi_small")
    names = {
        "unet.down3.conv1.0": (2 / (9 * 512)) ** 0.5,
        "feature_bone.patch_embed5.proj": (2 / (9 * 256)) ** 0.5,
        "feature_bone.block5.1.mlp.dwconv.dwconv": (2 / 9) ** 0.5,
        "feature_bone.block5.0.attn.kv": 0.02,
        "block.0.conv.1.0": (1 / 3 / (9 * 64)) ** 0.5,  # PyTorch's own: uniform within 1 / sqrt(fan in)
        "unet.up0.0": (1 / 3 / (16 * 256)) ** 0.5,
    }
    for name, deviation in names.items():
        assert model.get_submodule(name).weight.std().item() == pytest.approx(deviation, rel=0.05), name
    assert not model.get_submodule("feature_bone.block4.0.mlp.fc1").bias.any()
    assert model.get_submodule("block.1.conv.0.0").bias.any()


# --- parts of the network


def fill(module: nn.Module, case: Case, prefix: str) -> nn.Module:
    """The module with the case's weights, whose names begin with `prefix`."""
    manifest = case.info["manifest"]
    tensors = golden.state_dict(manifest, gain=1.15)
    module.load_state_dict({n.removeprefix(prefix): torch.from_numpy(v) for n, v in tensors.items()})
    return module


def draws(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    random = np.random.RandomState(seed)
    return [torch.from_numpy(random.standard_normal(shape).astype(np.float32)) for shape in shapes]


def test_initial_weights_are_timms_without_its_outliers() -> None:
    published, ours = torch.empty(2, 1 << 20)
    torch.manual_seed(12)  # among which there is one
    trunc_normal_(published, std=0.02)
    torch.manual_seed(12)
    draw_normal(ours, 0.02)
    (outlier,) = (published != ours).nonzero().flatten().tolist()
    assert published[outlier] == -2
    assert ours.abs().max() < 6 * 0.02


@pytest.mark.parametrize("shift", [0, 3])
def test_attention_block(shift: int) -> None:
    case = load(FUNCTIONS, f"attention_block_shift{shift}")
    block = fill(InterFrameBlock(64, 32, 2), case, f"blk{shift}.")
    x = draws(11, (4, 96, 64))[0].reshape(4, 8, 12, 64)
    with torch.no_grad():
        out, motion = block(x, WindowedMap(x, 7, shift))
    assert_near(out.flatten(1, 2), case.arrays["x_out"], 1e-5, "x_out")
    assert_near(motion.flatten(1, 2), case.arrays["motion"], 1e-5, "motion")


def test_coordinates() -> None:
    case = load(FUNCTIONS, "coordinates")
    assert_near(coordinate_map(3, 5, torch.device("cpu")).expand(2, -1, -1, -1), case.arrays["c_3x5"], 0)


def test_cross_scale_embed() -> None:
    case = load(FUNCTIONS, "cross_scale_embed")
    embed = fill(CrossScaleEmbed([8, 16, 32], 64), case, "cross.")
    with torch.no_grad():
        tokens = embed(draws(12, (2, 8, 32, 64), (2, 16, 16, 32), (2, 32, 8, 16)))
    assert_near(tokens.flatten(1, 2), case.arrays["tokens"], 1e-5)


def test_flow_head() -> None:
    case = load(FUNCTIONS, "flow_head_scale8")
    head = fill(FlowHead(features=8, images=17, width=16, stride=2), case, "head.")
    feature, images, flow = draws(13, (1, 128, 4, 6), (1, 13, 32, 48), (1, 4, 32, 48))
    with torch.no_grad():
        got = head(feature, [images], 3 * flow)
    assert_near(got[:, :4], case.arrays["flow"], 1e-4, "flow")
    assert_near(got[:, 4:], case.arrays["mask"], 1e-5, "mask")


def test_warp() -> None:
    case = load(FUNCTIONS, "warp")
    assert_near(warp(case.tensor("img"), case.tensor("flow")), case.arrays["out"], 1e-5)


def test_census_that_training_does_not_use() -> None:
    case = load(FUNCTIONS, "ternary_unused")
    x, y = (frame(32, 40, phase, 6) for phase in (0.0, 1.0))
    loss = Census(patch=7, grey="luma", border=1)(Prediction(frame=x), Batch(target=y))
    assert_near(loss, case.tensor("out").mean(), 1e-7)


# --- properties


@pytest.mark.parametrize("first", [(80, 48), (48, 96)])
def test_the_prediction_does_not_depend_on_earlier_frames(first: tuple[int, int]) -> None:
    """Both have the padded area of 48x80 at one stage or the other: a mask kept by area would be wrong."""
    case, model = load("ema_vfi_small", "intermediates_48x80"), golden_model("ema_vfi_small")
    with torch.no_grad():
        earlier = [frame(*first, phase) for phase in (0.0, 1.0)]
        results = [model(*earlier).frame, model(*inputs(case)).frame, model(*earlier).frame]
    assert_near(results[1], case.arrays["pred"], 1e-5)
    assert torch.equal(results[0], results[2])
    assert len(model.state_dict()) == 186


def test_a_uniform_time_map_is_that_time() -> None:
    model = golden_model("ema_vfi_small")
    with torch.no_grad():
        encoding = model.encode(frame(64, 64, 0.0), frame(64, 64, 1.0))
        number = model.decode(encoding, half(encoding.frame0, 0.3)).frame
        uniform = model.decode(encoding, torch.full((1, 1, 64, 64), 0.3)).frame
        ramp = model.decode(encoding, torch.linspace(0, 1, 64).expand(1, 1, 64, 64)).frame
    assert_near(uniform, number, 1e-6)
    assert (ramp - number).abs().max() > 0.01


def test_frames_of_one_step_of_the_coarsest_stage() -> None:
    with torch.no_grad():
        got = golden_model("ema_vfi_small")(frame(16, 16, 0.0), frame(16, 16, 1.0))
    assert got.frame.isfinite().all()
    assert all(flow.isfinite().all() for flow in got.flow0)


def test_bfloat16_autocast_stays_close() -> None:
    """Measured: frames differ by 0.007 at most and by 0.001 on average, flows by 0.06 px at most."""
    case, model = load("ema_vfi_small", "intermediates_48x80"), golden_model("ema_vfi_small")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        got = model(*inputs(case))
    assert {got.frame.dtype, got.flow0[0].dtype, got.mask[0].dtype, got.merged[0].dtype} == {torch.float32}
    assert_near(got.frame, case.tensor("pred"), 0.015, "frame")  # not an array: the table has float32
    assert (got.frame - case.tensor("pred")).abs().mean() < 0.002
    for stage in (1, 2):
        flow = torch.cat((got.flow0[stage - 1], got.flow1[stage - 1]), dim=1)
        assert_near(flow, case.arrays[f"flow_stage{stage}"], 0.1, f"flow {stage}")


def test_bfloat16_weights_run() -> None:
    model = copy.deepcopy(golden_model("ema_vfi_small")).bfloat16()
    case = load("ema_vfi_small", "intermediates_48x80")
    with torch.no_grad():
        got = model(*(x.bfloat16() for x in inputs(case)))
    assert_near(got.frame, case.tensor("pred"), 0.05)


def test_channels_last() -> None:
    case = load("ema_vfi_small", "intermediates_48x80")
    model = copy.deepcopy(golden_model("ema_vfi_small")).to(memory_format=torch.channels_last)
    with torch.no_grad():
        got = model(*(x.contiguous(memory_format=torch.channels_last) for x in inputs(case)))
    assert_near(got.frame, case.arrays["pred"], 1e-5)


@pytest.mark.slow
def test_compiles_as_one_graph() -> None:
    torch.manual_seed(0)
    model = EMAVFI(width=4, depths=(1, 1, 1, 2, 2)).eval()
    frames, time = (frame(48, 80, 0.0), frame(48, 80, 1.0)), torch.full((1, 1, 1, 1), 0.5)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert_near(compiled(*frames, time).frame, model(*frames, time).frame, 1e-6)


# --- published checkpoints


@functools.cache
def published() -> dict[str, Tensor]:
    manifest = golden.load_manifest(Path(__file__).parents[1] / "goldens" / "ema_vfi_small")
    return {name: torch.from_numpy(v) for name, v in golden.state_dict(manifest, gain=1.15).items()}


def same(model: Architecture) -> bool:
    ours = published_state_dict(model)
    return ours.keys() == published().keys() and all(torch.equal(ours[n], t) for n, t in published().items())


def test_published_checkpoint_files_load(tmp_path: Path) -> None:
    """State dicts of the network wrapped for distributed training, with the masks of its last frames."""
    pairs = load(FUNCTIONS, "checkpoint_keys").info["pairs"]
    extra = {key: torch.zeros(1) for key, kept in pairs if kept is None and key.startswith("module.")}
    assert len(extra) == 2
    path = tmp_path / "ours_small.pkl"
    torch.save({f"module.{name}": tensor for name, tensor in published().items()} | extra, path)
    model = create_model("ema_vfi_small_t")
    load_published(model, path)
    assert same(model)
    for key, kept in pairs:
        assert kept is None or key.removeprefix("module.") == kept in published_state_dict(model)


@pytest.mark.parametrize("layout", ["bare", "wrapped", "twice"])
def test_other_layouts_load_too(layout: str) -> None:
    tensors = published()
    if layout == "wrapped":
        tensors = {"model": {f"module.{name}": tensor for name, tensor in tensors.items()}, "epoch": 299}
    elif layout == "twice":
        tensors = {f"net.module.{name}": tensor for name, tensor in tensors.items()}
    model = create_model("ema_vfi_small")
    load_published(model, tensors)
    assert same(model)


def test_a_network_that_has_run_loads_again() -> None:
    model = copy.deepcopy(golden_model("ema_vfi_small"))
    with torch.no_grad():
        model(frame(48, 80, 0.0), frame(48, 80, 1.0))
    load_published(model, published())
    assert same(model)


def test_a_checkpoint_of_the_other_variant_is_refused() -> None:
    with torch.device("meta"):
        model = create_model("ema_vfi")
    with pytest.raises(ValueError, match="choose the variant that the checkpoint was trained as"):
        load_published(model, published())
