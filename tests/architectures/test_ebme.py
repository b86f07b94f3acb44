"""EBME against the published networks: goldens `ebme`, `ebme_h` and `ebme_functions`."""

from __future__ import annotations

import functools
import hashlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.goldens import golden
from tests.helpers.golden_cases import GOLDENS, Case, assert_near, frame, load
from tests.helpers.loss_sets import loss_set
from vfi_train.architectures import create_model
from vfi_train.architectures.base import count_parameters
from vfi_train.architectures.ebme import EBME, pyramid_levels
from vfi_train.architectures.ebme.fusion import downsample
from vfi_train.architectures.layers.local_correlation import local_correlation
from vfi_train.architectures.layers.splat import coverage, splat
from vfi_train.architectures.layers.warp import resize, resize_flow
from vfi_train.contract import Batch, Prediction
from vfi_train.evaluate.networks import ModelChoice, load_model
from vfi_train.inference.interpolator import Interpolator
from vfi_train.optim.schedules import WarmupCosine
from vfi_train.weights import load_published, load_weights, published_state_dict

VARIANTS = {"ebme": (3_907_864, 104), "ebme_h": (3_930_833, 112)}
FILES = {"bi-flownet.pkl": ("feat_pyramid", "flow_estimator"), "fusionnet.pkl": ()}


@functools.cache
def network(folder: str, name: str) -> EBME:
    """The variant with the weights of a golden; tests share it and leave it as it is."""
    case = load(folder, name)
    model = case.model(levels=case.info.get("levels", 3)).eval()
    assert isinstance(model, EBME)
    return model


def frames(case: Case) -> tuple[Tensor, Tensor]:
    i = case.info["inputs"]
    frame0, frame1 = (frame(i["height"], i["width"], phase, i["seed"], i["batch"]) for phase in (0.0, 1.0))
    return frame0, frame1


def time_of(case: Case) -> Tensor:
    return torch.as_tensor(case.info["timestep"], dtype=torch.float32).reshape(-1, 1, 1, 1)


def flows(prediction: Prediction) -> list[Tensor]:
    """Of each level, coarse to fine: B 4 h w."""
    assert prediction.forward_flow0 is not None
    assert prediction.forward_flow1 is not None
    return [torch.cat(pair, dim=1) for pair in zip(prediction.forward_flow0, prediction.forward_flow1, strict=True)]


def padded(case: Case, *images: Tensor) -> list[Tensor]:
    """Grey on the right and below, as the published demo pads."""
    right, bottom = (case.info.get("padding", {}).get(side, 0) for side in ("right", "bottom"))
    return [F.pad(x, (0, right, 0, bottom), value=0.5) for x in images]


# --- the published networks


@pytest.mark.parametrize(
    ("folder", "name"),
    [("ebme", "t025_96x128"), ("ebme", "levels5_b2_64x128"), ("ebme", "small_32x64"), ("ebme_h", "small_32x32")],
)
def test_frames_and_flows_equal_the_published_network(folder: str, name: str) -> None:
    case = load(folder, name)
    with torch.no_grad():
        got = network(folder, name)(*frames(case), time_of(case))
    assert_near(got.frame, case.arrays["output"], 1e-5)
    if "bi_flow" in case.arrays:
        assert_near(flows(got)[-1], case.arrays["bi_flow"], 1e-4)
    if "flow_l0" in case.arrays:
        assert_near(flows(got)[-1], resize(case.tensor("flow_l0"), 4), 1e-4)


def test_everything_on_the_way_equals_the_published_network() -> None:
    case = load("ebme", "small_32x64")
    seen = everything_on_the_way(network("ebme", "small_32x64"), *frames(case), time_of(case))
    assert set(case.arrays) <= set(seen)
    for key, stored in case.arrays.items():
        largest = max(1, abs(stored).max())
        assert_near(seen[key], stored, 1e-4 if "flow" in key else 1e-5 * largest, key)


def everything_on_the_way(model: EBME, frame0: Tensor, frame1: Tensor, time: Tensor) -> dict[str, Tensor]:
    """The values that the golden names, each where the network computes it."""
    seen: dict[str, Tensor] = {}
    level = model.levels

    def pyramid(_: Any, given: tuple[Tensor, ...], features: Tensor) -> None:
        nonlocal level
        level -= 1
        seen[f"warped0_l{level}"], seen[f"warped1_l{level}"] = given[0].chunk(2)
        seen[f"feat0_l{level}"], seen[f"feat1_l{level}"] = features.chunk(2)

    def estimator(_: Any, given: tuple[Tensor, ...], found: tuple[Tensor, Tensor]) -> None:
        seen[f"corr_l{level}"] = local_correlation(*given[0].chunk(2))
        seen[f"last_flow_l{level}"] = given[2]
        seen[f"flow_l{level}"], seen[f"feature_l{level}"] = found

    def stage(name: str) -> Any:
        def hook(_: Any, given: tuple[Tensor, ...], found: Tensor) -> None:
            seen[name] = found
            if name.startswith(("down", "up1")) and name != "down1":
                seen[f"context0_{contexts[name]}"], seen[f"context1_{contexts[name]}"] = given[1:]

        return hook

    contexts = {"down2": 1, "down3": 2, "down4": 3, "up1": 4}
    hooks = [
        model.motion.feat_pyramid.register_forward_hook(pyramid),
        model.motion.flow_estimator.register_forward_hook(estimator),
        *(
            model.fusion.get_submodule(name).register_forward_hook(stage(name))
            for name in ("down1", "down2", "down3", "down4", "up1", "refine_pred")
        ),
    ]
    try:
        with torch.no_grad():
            got = model(frame0, frame1, time)
    finally:
        for hook in hooks:
            hook.remove()
    assert got.merged is not None
    assert got.mask is not None
    assert got.warped0 is not None
    assert got.warped1 is not None
    seen |= {"mask_logit": seen["refine_pred"][:, 3:], "bi_flow": flows(got)[-1], "output": got.frame}
    seen |= {"mask": got.mask[0], "merged": got.merged[0], "warped0": got.warped0[0], "warped1": got.warped1[0]}
    return {**seen, "residual": got.residual}  # type: ignore[dict-item]


def test_fields_of_the_doubled_fusion_are_means_of_its_own() -> None:
    case = load("ebme_h", "small_32x32")
    model = network("ebme_h", "small_32x32")
    seen: dict[str, Tensor] = {}

    def keep(_: Any, given: tuple[Tensor, ...], logits: Tensor) -> None:
        seen["downsample_mask"] = logits

    assert model.fusion.downsample_mask is not None
    hook = model.fusion.downsample_mask.register_forward_hook(keep)
    with torch.no_grad():
        got = model(*frames(case), time_of(case))
    hook.remove()
    for name in ("warped0", "mask", "merged", "residual"):
        (value,) = [getattr(got, name)] if name == "residual" else getattr(got, name)
        assert_near(value, F.avg_pool2d(case.tensor(name), 2), 1e-5, name)
    assert_near(seen["downsample_mask"], case.arrays["downsample_mask"], 1e-4)


def test_grey_padding_equals_the_published_demo() -> None:
    case = load("ebme", "pad_45x75")
    with torch.no_grad():
        got = network("ebme", "pad_45x75")(*padded(case, *frames(case)), time_of(case))
    ours = Interpolator(network("ebme", "pad_45x75"), padding=0.5, padding_side="right_bottom")
    rgb = [x.flip(1) for x in frames(case)]
    assert_near(ours.predict(*rgb, case.info["timestep"]).frame.flip(1), case.arrays["output"], 1e-5)
    cropped = got.frame[..., :45, :75]
    assert_near(cropped, case.arrays["output"], 1e-5)
    assert_near(flows(got)[-1][..., :45, :75], case.arrays["bi_flow"], 1e-4)
    near_a_step = (255 * case.tensor("output") - case.tensor("output_uint8")).abs() < 1e-2
    assert ((255 * cropped).to(torch.uint8) == case.tensor("output_uint8"))[~near_a_step].all()


@pytest.mark.parametrize(("folder", "name"), [("ebme", "tta_48x64"), ("ebme_h", "pad_tta_t0375_50x70")])
def test_test_time_augmentation_equals_the_published_script(folder: str, name: str) -> None:
    case = load(folder, name)
    given = [x.flip(1) for x in padded(case, *frames(case))]  # the interpolator takes RGB
    got = Interpolator(network(folder, name), tta=True).predict(*given, case.info["timestep"]).frame.flip(1)
    height, width = case.info["inputs"]["height"], case.info["inputs"]["width"]
    assert_near(got[..., :height, :width], case.arrays["output"], 1e-5)


@pytest.mark.parametrize("folder", VARIANTS)
def test_training_steps_equal_the_published_ones(folder: str) -> None:
    case = load(folder, "train_step")
    info = case.info
    model, losses = case.model(levels=info["levels"]).train(), loss_set("ebme")
    i = info["inputs"]
    batch = Batch(target=frame(i["height"], i["width"], 0.5, i["seed"], i["batch"]))
    updates = info["three_updates"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=1e-4)
    for step, expected in enumerate(updates["losses"]):
        got = model(*frames(case), info["timestep"])
        terms = losses(got, batch)
        parts = [terms["charbonnier"].item(), terms["census"].item() / 0.1, terms["total"].item()]
        assert parts == pytest.approx(expected, rel=1e-5 if step == 0 else 1e-3)
        if step == len(updates["learning_rate"]):
            break
        optimizer.zero_grad()
        terms["total"].backward()
        if step == 0:
            assert_near(got.frame, case.arrays["output"], 1e-5)
            assert_near(flows(got)[-1][:1], case.arrays["bi_flow"], 1e-4)
            gradients = published_gradients(model)
            for name, norm in info["grad_l2"].items():
                assert gradients[name].norm().item() == pytest.approx(norm, rel=1e-4), name
            total = torch.stack([g.norm() for g in gradients.values()]).norm()
            assert total.item() == pytest.approx(info["grad_l2_all"], rel=1e-4)
        optimizer.param_groups[0]["lr"] = updates["learning_rate"][step]
        optimizer.step()


def published_gradients(model: EBME) -> dict[str, Tensor]:
    return {name.partition(".")[2]: p.grad for name, p in model.named_parameters() if p.grad is not None}


# --- names and weights


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_and_names_are_the_published_ones(variant: str) -> None:
    model = create_model(variant)
    assert (count_parameters(model), len(model.state_dict())) == VARIANTS[variant]
    manifest = golden.load_manifest(GOLDENS / variant)
    published = {name: list(tensor.shape) for name, tensor in published_state_dict(model).items()}
    assert published == {entry["name"]: entry["shape"] for entry in manifest}
    assert list(published) == [entry["name"] for entry in manifest]


def publish(tensors: dict[str, Tensor], folder: Path, prefix: str = "module.") -> None:
    """Two files, as the repository has them."""
    motion = {name for name in tensors if name.startswith(FILES["bi-flownet.pkl"])}
    for file, names in (("bi-flownet.pkl", motion), ("fusionnet.pkl", set(tensors) - motion)):
        torch.save({prefix + name: tensor for name, tensor in tensors.items() if name in names}, folder / file)
    torch.save({"optimizer": {}, "step": 800_000}, folder / "optimizer-ckpt.pth")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", ["folder", "weights", "merged", "bare"])
def test_published_checkpoint_layouts_load(variant: str, layout: str, tmp_path: Path) -> None:
    tensors = published_state_dict(create_model(variant))
    publish(tensors, tmp_path, prefix="" if layout == "bare" else "module.")
    model = create_model(variant, levels=5)  # one set of weights serves any number of levels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if layout == "merged":
            load_published(model, {f"module.{name}": tensor for name, tensor in tensors.items()})
        elif layout == "weights":
            assert load_weights(model, tmp_path) == tmp_path
        else:
            load_published(model, tmp_path)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in published_state_dict(model).items())


def test_evaluation_names_the_weights_by_all_files_of_a_folder(tmp_path: Path) -> None:
    publish(published_state_dict(create_model("ebme")), tmp_path)
    config = {"_target_": "vfi_train.architectures.ebme.ebme"}
    got = load_model(ModelChoice("ebme", config, str(tmp_path)), "runs")
    content = b"".join((tmp_path / name).read_bytes() for name in FILES)
    assert (got.weights_file, got.weights_sha256) == (tmp_path, hashlib.sha256(content).hexdigest())


def test_one_file_leaves_the_other_part_as_it_is_and_warns(tmp_path: Path) -> None:
    tensors = published_state_dict(create_model("ebme"))
    publish(tensors, tmp_path)
    model = create_model("ebme_h")
    before = published_state_dict(model)
    before = {name: tensor.clone() for name, tensor in before.items()}
    with pytest.warns(UserWarning, match=r"bi-flownet\.pkl has nothing of fusionnet\.pkl: fusion\.\* keeps"):
        load_published(model, tmp_path / "bi-flownet.pkl")
    for name, tensor in published_state_dict(model).items():
        expected = tensors if name.startswith(FILES["bi-flownet.pkl"]) else before
        assert torch.equal(tensor, expected[name]), name


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    publish(published_state_dict(create_model("ebme")), tmp_path)
    with pytest.raises(ValueError, match=r"does not fit EBME: .* missing \(fusion\.downsample_mask"):
        load_published(create_model("ebme_h"), tmp_path)
    with pytest.raises(ValueError, match="does not fit EBME"):
        load_published(create_model("ebme"), published_state_dict(create_model("ifrnet_s")))


# --- functions


def test_correlation_and_its_gradients_equal_the_published_ones() -> None:
    case = load("ebme_functions", "correlation_7x9")
    first, second = (
        (torch.cat([frame(7, 9, p, 100, 2) for p in phases], dim=1) - 0.5).double().requires_grad_()
        for phases in ((0, 0.5), (1, 1.5))
    )
    upstream = torch.from_numpy(golden.fill("correlation.upstream", (2, 81, 7, 9), "param")).double()
    got = local_correlation(first, second)
    assert_near(got, case.arrays["output"], 1e-6)
    for name, value in zip(("first", "second"), torch.autograd.grad(got, (first, second), upstream), strict=True):
        assert_near(value, case.arrays[f"grad_{name}"], 1e-6, name)


def test_estimator_equals_the_published_one_for_negative_correlations() -> None:
    case = load("ebme_functions", "estimator_6x10")

    def drawn(name: str, channels: int, factor: float) -> Tensor:
        return factor * torch.from_numpy(golden.fill(f"estimator_6x10.{name}", (1, channels, 6, 10), "param"))

    features = torch.cat((drawn("feat0", 48, 5), drawn("feat1", 48, 5)))
    assert_near(local_correlation(*features.chunk(2)), case.arrays["corr"], 1e-5)
    with torch.no_grad():
        estimator = network("ebme", "small_32x64").motion.flow_estimator  # salt 3, too
        flow, feature = estimator(features, drawn("last_feature", 64, 2), drawn("last_flow", 4, 5))
    assert_near(flow, case.arrays["flow"], 1e-4)
    assert_near(feature, case.arrays["feature"], 1e-4)


def test_learned_downsampling_and_its_gradients_equal_the_published_ones() -> None:
    case = load("ebme_functions", "convex_downsample_6x8")
    image = frame(12, 16, 0.0, 105, 2).double().requires_grad_()
    logits = 10 * torch.from_numpy(golden.fill("downsample.logits", (2, 25, 6, 8), "param"))
    logits = logits.double().requires_grad_()
    got = downsample(image, logits)
    assert_near(got, case.arrays["output"], 1e-6)
    of_image, of_logits = torch.autograd.grad(got, (image, logits), frame(6, 8, 0.0, 106, 2).double() - 0.5)
    assert_near(of_image, case.arrays["grad_picture"], 1e-6)
    assert_near(of_logits, case.arrays["grad_logits"], 1e-6)


def test_number_of_levels_follows_the_published_rule() -> None:
    """For landscape frames of 225 pixels or more; below, and upright, the published rule gives too few."""
    for row in load("ebme_functions", "pyramid_levels").info["rows"]:
        levels = pyramid_levels(row["height"], row["width"])
        if row["width"] >= max(row["height"], 225):
            model = create_model("ebme", levels=levels)
            assert (levels, model.size_multiple) == (row["levels"], row["multiple"])
        else:
            assert levels >= max(3, row["levels"])


def test_learning_rates_equal_the_published_schedule() -> None:
    info = load("ebme_functions", "learning_rate").info
    schedule = WarmupCosine(floor=info["floor"], warmup_steps=info["warmup"], first_step=1)
    got = [schedule(step - 1, peak=info["peak"], total=info["total"]) for step in info["steps"]]  # counted from 1
    assert got == pytest.approx(info["lr"], rel=1e-12)


# --- what callers rely on


def test_sizes_follow_the_number_of_levels() -> None:
    seen = [create_model(name, levels=n).size_multiple for name in VARIANTS for n in (2, 3, 5, 7)]
    assert seen == [16, 16, 64, 256, 8, 16, 64, 256]
    model = create_model("ebme")
    model.levels = 5
    with pytest.raises(ValueError, match="multiples of 64"):
        model(torch.zeros(1, 3, 96, 64), torch.zeros(1, 3, 96, 64))
    with pytest.raises(ValueError, match="1 level or more; got levels=0"):
        create_model("ebme", levels=0)


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_smallest_frames(variant: str, levels: int) -> None:
    model = create_model(variant, levels=levels).eval()
    got = model(*(frame(model.min_size, model.min_size, phase, 3) for phase in (0.0, 1.0)))
    assert got.frame.shape[-2:] == (model.min_size, model.min_size)
    sizes = [tuple(x.shape[-2:]) for x in flows(got)]
    assert sizes == [(model.min_size // 2**k,) * 2 for k in reversed(range(levels))]


@torch.no_grad()
def test_fields_mean_what_the_contract_says() -> None:
    case = load("ebme", "t025_96x128")
    frame0, frame1 = frames(case)
    got = network("ebme", "t025_96x128")(frame0, frame1, 0.25)
    (warped0,), (warped1,), (mask,), (merged,) = got.warped0, got.warped1, got.mask, got.merged
    assert_near(warped0, splat(frame0, 0.25 * got.forward_flow0[-1]), 0)
    assert_near(warped1, splat(frame1, 0.75 * got.forward_flow1[-1]), 0)
    assert (coverage(0.75 * got.forward_flow1[-1]) == 0).any()
    assert_near(merged, mask * warped0 + (1 - mask) * warped1, 1e-6)
    assert_near(got.frame, (merged + got.residual).clamp(0, 1), 0)


@torch.no_grad()
def test_at_the_ends_the_input_itself_is_not_moved() -> None:
    case = load("ebme", "t025_96x128")
    model, (frame0, frame1) = network("ebme", "t025_96x128"), frames(case)
    assert_near(model(frame0, frame1, 0.0).warped0[0], frame0, 0)
    assert_near(model(frame0, frame1, 1.0).warped1[0], frame1, 0)


@torch.no_grad()
def test_scale_moves_by_the_enlarged_flow_of_smaller_frames() -> None:
    model = network("ebme", "small_32x64")
    frame0, frame1 = frame(64, 128, 0.0, 4), frame(64, 128, 1.0, 4)
    got = model(frame0, frame1, 0.5, scale=0.5)
    small = model(resize(frame0, 0.5), resize(frame1, 0.5))
    assert_near(flows(got)[-1], resize_flow(flows(small)[-1], 2), 1e-5)
    assert got.frame.shape == frame0.shape


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_one_encoding_serves_many_times_also_as_one_batch(variant: str) -> None:
    model = create_model(variant).eval()
    pair = frame(32, 48, 0.0, 1, 2), frame(32, 48, 1.0, 1, 2)
    one_by_one, together = (Interpolator(model, times_at_once=n).stream(*pair, [0.25, 0.5, 0.75]) for n in (1, 3))
    for one, other in zip(one_by_one, together, strict=True):
        assert_near(one.frame, other.frame, 1e-5)


@torch.no_grad()
def test_flows_and_blends_are_float32_under_autocast() -> None:
    case = load("ebme", "small_32x64")
    model = network("ebme", "small_32x64")
    with torch.autocast("cpu", torch.bfloat16):
        got = model(*frames(case))
    assert {x.dtype for x in (got.frame, *flows(got), *got.mask, *got.merged, got.residual)} == {torch.float32}


@torch.no_grad()
def test_a_loss_says_which_kind_of_flow_it_needs() -> None:
    prediction = network("ebme", "small_32x64")(frame(32, 48, 0.0, 1), frame(32, 48, 1.0, 1))
    batch = Batch(target=prediction.frame, flow=torch.zeros(1, 4, 32, 48))
    said = r"reads prediction\.flow0 \(flow from the target time to frame0\), .* gives frame, merged, forward_flow0"
    with pytest.raises(ValueError, match=said):
        loss_set("ifrnet", "~loss.terms.geometry")(prediction, batch)
    with pytest.raises(
        ValueError, match=r"a test reads prediction\.forward_flow0 \(flow from frame0 to frame1\), which"
    ):
        Prediction(prediction.frame).require("forward_flow0", reader="a test")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_flow_that_is_not_finite_shows_in_the_frame(value: float) -> None:
    """Splatting leaves such pixels out; a guard of the loss must still see them."""
    model = EBME().eval()
    with torch.no_grad():
        encoding = model.encode(*torch.rand(2, 1, 3, 64, 64))
        encoding.flows[-1][0, 0, 20, 20] = value  # type: ignore[attr-defined]
        assert model.decode(encoding, torch.full((1, 1, 1, 1), 0.5)).frame.isnan().any()
