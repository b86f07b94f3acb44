"""InterpAny-Clearer's variants of IFRNet, AMT-S and EMA-VFI against the published networks, and what they promise."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.goldens import golden
from tests.helpers.golden_cases import GOLDENS, Case, assert_near, frame, load
from tests.helpers.interpany_cases import given, inputs_and_outputs, network, target, thinned
from tests.helpers.loss_sets import loss_set
from vfi_train.architectures import create_model
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.contract import Batch, Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.weights import load_published, published_state_dict

FOLDERS = (
    "ifrnet_d", "ifrnet_r", "ifrnet_dr", "amt_s_d", "amt_s_r", "amt_s_dr", "amt_s_dr_v0", "amt_s_dr_v2",
    "ema_vfi_d", "ema_vfi_r", "ema_vfi_dr",
)  # fmt: skip


def cases(call: str) -> list[Any]:
    """All cases of a kind, those of EMA-VFI, which are slow ones, by the weights that they share."""
    found = []
    for folder in FOLDERS:
        for path in sorted((GOLDENS / folder).glob("*.json")):
            info = {} if path.stem == "manifest" else json.loads(path.read_text())
            if info.get("call", "").startswith(call):
                found.append((folder.startswith("ema_vfi"), info["salt"], folder, path.stem))
    pairs = [(folder, name) for _, _, folder, name in sorted(found)]
    slow = [folder.startswith("ema_vfi") for folder, _ in pairs]
    return [pytest.param(*pair, marks=[pytest.mark.slow] * late) for pair, late in zip(pairs, slow, strict=True)]


# --- one call


@torch.no_grad()
@pytest.mark.parametrize(("folder", "name"), cases("single"))
def test_one_call_equals_the_published_network_at_every_step(folder: str, name: str) -> None:
    case = load(folder, name)
    model = network(case)
    with inputs_and_outputs(model) as parts:
        got = model(**given(case))
    seen = {"ifrnet": in_ifrnet, "amt": in_amt, "ema_vfi": in_ema_vfi}[model.family](got, parts)
    assert "pred" in case.arrays
    for key, stored in case.arrays.items():
        value = seen[re.sub("_every[24]$", "", key)]
        largest = max(1, abs(stored).max())  # features reach beyond 1, where float32 has fewer decimals
        assert_near(thinned(value, stored), stored, 1e-4 if "flow" in key else 1e-5 * largest, key)


def in_ifrnet(got: Prediction, parts: dict[str, Any]) -> dict[str, Tensor]:
    seen = {"pred": got.frame, "mask_sigmoid": got.mask[0], "residual": got.residual}
    for level, flow0, flow1 in zip((4, 3, 2, 1), got.flow0, got.flow1, strict=True):
        seen |= {f"flow0_level{level}": flow0, f"flow1_level{level}": flow1}
    seen |= {f"ft_{3 - i}_channel_mean": feature.mean((2, 3)) for i, feature in enumerate(got.features)}
    coarse = torch.cat(parts["decoder4"][0], dim=1)
    seen["decoder4_input_map_channels"] = coarse[:, coarse.shape[1] // 96 * 96 :]
    return seen | {f"decoder{k}_flow_part": parts[f"decoder{k}"][1][:, :4] for k in (4, 3, 2, 1)}


def in_amt(got: Prediction, parts: dict[str, Any]) -> dict[str, Tensor]:
    (coarse,), _ = parts["decoder4"]
    (candidates,), combined = parts["comb_block"]
    seen = {
        "pred": got.frame,
        "decoder1_mask": got.mask[0].flatten(1, 2),
        "decoder1_residual": parts["decoder1"][1][:, -9:],
        "comb_input": candidates,
        "comb_output": combined,
        "fmap0_every12": parts["feat_encoder"][1].chunk(2)[0][:, ::12],
        "decoder4_input_map_channels": coarse[:, coarse.shape[1] // 56 * 56 :],
    }
    for level, flow0, flow1 in zip((4, 3, 2, 1), got.flow0, got.flow1, strict=True):
        seen |= {f"flow0_level{level}": flow0, f"flow1_level{level}": flow1}
    for level, feature in zip((3, 2, 1), got.features, strict=True):
        seen[f"ft_{level}_channel_mean"] = feature.mean((2, 3))
    for level, flow0, flow1 in zip((4, 3, 2), got.flow0, got.flow1, strict=False):
        (_, flow, correlation), (_, change) = parts[f"update{level}"]
        seen |= {
            f"update{level}_flow_in": flow,
            f"update{level}_corr_every28": correlation[:, ::28],
            f"update{level}_delta_flow": change,
            f"decoder{level}_flow0": flow0 - change[:, :2],
            f"decoder{level}_flow1": flow1 - change[:, 2:],
        }
    return seen


def in_ema_vfi(got: Prediction, parts: dict[str, Any]) -> dict[str, Tensor]:
    _, features = parts["feature_bone"]
    seen = {"pred": got.frame, "residual": got.residual}
    seen |= {f"af_{k}_channel_mean": x.mean((2, 3)) for k, x in enumerate(features.appearance, start=1)}
    seen |= {f"mf_{k}_channel_mean": x.mean((2, 3)) for k, x in enumerate(features.motion, start=4)}
    for k, (flow0, flow1) in enumerate(zip(got.flow0, got.flow1, strict=True), start=1):
        seen |= {f"flow_{k}": torch.cat((flow0, flow1), dim=1)}
        seen |= {f"mask_{k}": got.mask[k - 1], f"merged_{k}": got.merged[k - 1]}
    return seen


# --- the loop


@torch.no_grad()
@pytest.mark.parametrize(("folder", "name"), cases("loop"))
def test_steps_from_frame_0_equal_the_published_loop(folder: str, name: str) -> None:
    case = load(folder, name)
    model = network(case)
    results: list[Tensor] = []
    decode = model.decode

    def remember(*args: Any, **options: Any) -> Prediction:
        prediction = decode(*args, **options)
        results.append(prediction.frame)
        return prediction

    arguments = given(case)
    # The goldens' frames are in the network's own order of channels, an interpolator's are RGB.
    order = (lambda x: x.flip(1)) if model.channel_order == "bgr" else (lambda x: x)
    pair = [order(arguments[name]) for name in ("frame0", "frame1")]
    model.decode = remember  # type: ignore[method-assign]
    try:
        got = Interpolator(model, iterations=case.info["iters"]).predict(*pair, arguments["time"])
    finally:
        del model.decode
    assert_near(order(got.frame), case.arrays["pred"], 1e-5, "pred")
    assert len(results) == case.info["iters"]
    for step, result in enumerate(results[:-1], start=1):
        key = next(key for key in case.arrays if key.startswith(f"step{step}"))
        assert_near(thinned(result, case.arrays[key]), case.arrays[key], 1e-5, key)


# --- training


@pytest.mark.parametrize(("folder", "name"), cases("train"))
def test_training_step_equals_the_published_one(folder: str, name: str) -> None:
    case = load(folder, name)
    model = network(case).train()
    batch = Batch(target=target(case))
    values = loss_set("ema_vfi" if model.family == "ema_vfi" else "amt_unlabelled")(model(**given(case)), batch)
    values["total"].backward()
    check_terms(case, {name: value.item() for name, value in values.items()})
    norms = {name: p.grad.double().norm().item() for name, p in model.named_parameters()}
    for name, expected in case.info["gradient_l2_norm"].items():
        # AMT's specification: about 1e-3, since instance norms and ReLUs of the matching encoder amplify float noise.
        assert norms[name] == pytest.approx(expected, rel=1e-3 if "feat_encoder" in name else 1e-4), name
    total = torch.tensor(list(norms.values())).norm().item()
    assert total == pytest.approx(case.info["total_gradient_l2_norm"], rel=1e-4)


def check_terms(case: Case, values: dict[str, float]) -> None:
    terms = case.info["loss_terms"]
    expected = {"total": case.info["loss"]}
    if "l_rec" in terms:
        expected |= {"charbonnier": terms["l_rec"], "census": terms["l_ter"]}
    else:
        weights = case.info["loss_weights"]
        blends = sum(weights[k] * terms[k] for k in ("lap_merged_stage1", "lap_merged_stage2"))
        expected |= {"laplacian": terms["lap_pred"], "merged": blends}
    assert values == pytest.approx(expected, rel=1e-5)


# --- names and checkpoints


@pytest.mark.parametrize("folder", FOLDERS)
def test_tensors_have_the_published_names(folder: str) -> None:
    with torch.device("meta"):
        tensors = published_state_dict(create_model(folder))
    expected = {entry["name"]: entry["shape"] for entry in golden.load_manifest(GOLDENS / folder)}
    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == expected


@pytest.mark.parametrize("name", ["ifrnet_dr", "amt_s_dr"])
def test_checkpoints_of_the_trainer_load_and_come_back_exactly(name: str, tmp_path: Path) -> None:
    tensors = published_tensors(name)
    torch.save({"epoch": 399, "state_dict": tensors, "optim": {"state": {}}}, tmp_path / "latest.pth")
    model = create_model(name)
    load_published(model, tmp_path / "latest.pth")
    assert_equal(published_state_dict(model), tensors)


def test_checkpoints_of_ema_vfi_load_without_their_masks_and_come_back_exactly(tmp_path: Path) -> None:
    model = create_model("ema_vfi_small_t", reference=True)
    generator = torch.Generator().manual_seed(0)
    tensors = {key: torch.rand(x.shape, generator=generator) for key, x in published_state_dict(model).items()}
    masks = {"feature_bone.block4.1.attn_mask": torch.zeros(4, 49, 49), "feature_bone.block4.1.HW": torch.tensor(1024)}
    saved = {f"module.{key}": tensor for key, tensor in (tensors | masks).items()}
    torch.save(saved, tmp_path / "ema-vfi.pkl")
    load_published(model, tmp_path / "ema-vfi.pkl")
    assert_equal(published_state_dict(model), tensors)


def test_checkpoints_of_a_network_without_reference_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fit IFRNetR: 1 tensors have another shape \(decoder4.convblock.0.0.weight"):
        load_published(create_model("ifrnet_dr"), published_tensors("ifrnet_d"))


def published_tensors(folder: str) -> dict[str, Tensor]:
    tensors = golden.state_dict(golden.load_manifest(GOLDENS / folder), 0.8, 0)
    return {name: torch.from_numpy(values) for name, values in tensors.items()}


def assert_equal(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in expected)


# --- maps


def test_a_map_is_sampled_in_the_middle_of_each_block() -> None:
    time = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    blocks = time.unflatten(3, (3, 16)).unflatten(2, (2, 16))
    assert_near(time_plane(time, (2, 3)), blocks[:, :, :, 7:9, :, 7:9].mean((3, 5)), 1e-7)
    assert time_plane(time, (32, 48)).equal(time)
    number = torch.tensor([0.2, 0.7]).view(2, 1, 1, 1)
    assert time_plane(number, (2, 3)).equal(number.expand(2, 1, 2, 3))


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "options", "scale", "side"),
    [
        ("ifrnet_tiny", {}, 1.0, 32),
        ("ifrnet_tiny", {"reference": True}, 0.5, 64),
        ("amt_s", {"time_map": True}, 0.8, 160),
        ("amt_s", {"reference": True}, 1.0, 128),
        ("ema_vfi_small_t", {}, 0.5, 64),
        ("ema_vfi_small_t", {"reference": True}, 0.5, 64),
    ],
)
def test_a_uniform_map_is_a_time_and_others_are_not(
    name: str, options: dict[str, bool], scale: float, side: int
) -> None:
    torch.manual_seed(0)
    model = create_model(name, **options).eval()
    pair = frame(side, side, 0.0, 3), frame(side, side, 1.0, 3)
    predict = functools.partial(model, *pair, scale=scale)
    expected = predict(0.3).frame
    assert_near(predict(torch.full((1, 1, side, side), 0.3)).frame, expected, 1e-6)
    ramp = torch.linspace(0, 1, side).expand(1, 1, side, side)
    assert (predict(ramp).frame - expected).abs().max() > 1e-5
    extremes = (ramp > 0.5).float()  # pixels at frame 0 and at frame 1
    assert predict(extremes).frame.isfinite().all()


@torch.no_grad()
def test_a_map_changes_the_lookup_of_amt_only_by_its_guard() -> None:
    case = load("amt_s_d", "small_intermediates")
    guarded = network(case)
    plain = create_model("amt_s").eval()
    plain.load_state_dict(guarded.state_dict())
    pair = frame(128, 128, 0.0, 1), frame(128, 128, 1.0, 1)
    for time in (0.125, 0.5):
        assert_near(guarded(*pair, time).frame, plain(*pair, time).frame, 1e-5)


# --- references


@torch.no_grad()
@pytest.mark.parametrize("name", ["ifrnet_tiny", "amt_s", "ema_vfi_small_t"])
def test_without_a_reference_frame_0_is_it(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, reference=True).eval()
    side = model.min_size
    frame0, frame1 = frame(side, side, 0.0, 3), frame(side, side, 1.0, 3)
    expected = model(frame0, frame1, 0.6).frame
    zero = torch.zeros(1, 1, side, side)
    assert_near(model(frame0, frame1, 0.6, reference=frame0, reference_time=zero).frame, expected, 0)
    for other in ({"reference": frame0, "reference_time": 0.4}, {"reference": frame1 * 0, "reference_time": zero}):
        assert not torch.equal(model(frame0, frame1, 0.6, **other).frame, expected)
    for half in ({"reference": frame0}, {"reference_time": zero}):
        with pytest.raises(ValueError, match=f"got only `{next(iter(half))}`: give both"):
            model(frame0, frame1, 0.6, **half)


@pytest.mark.parametrize("name", ["ifrnet", "ifrnet_s", "ifrnet_l", "amt_s", "amt_l", "amt_g", "ema_vfi_t"])
def test_every_size_takes_a_reference_as_an_option(name: str) -> None:
    """One convolution grows by the reference's channels, everything else is the same."""
    with torch.device("meta"):
        plain, wide = create_model(name), create_model(name, reference=True)
    before, after = ({k: p.shape for k, p in m.named_parameters()} for m in (plain, wide))
    grown = [key for key in before if before[key] != after[key]]
    assert before.keys() == after.keys()
    assert grown == (
        ["feature_bone.block1.conv.0.weight"] if name == "ema_vfi_t" else ["decoder4.convblock.0.0.weight"]
    )
    known = 3 if name == "ema_vfi_t" else (before[grown[0]][1] - 1) // 2  # channels of what is known of a frame
    assert after[grown[0]][1] == before[grown[0]][1] + known + 1
    assert wide.takes_reference
    assert wide.takes_time_map
