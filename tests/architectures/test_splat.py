"""Splatting against its goldens (`functions_splatting`), closed forms and automatic differentiation."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.golden_cases import Case, assert_near, frame, load
from vfi_train.architectures.layers import splat as layer
from vfi_train.architectures.layers import splat as splat_module
from vfi_train.architectures.layers.splat import coverage, splat
from vfi_train.architectures.layers.warp import warp

MODES = ("sum", "average", "linear", "softmax")
NAMES = ("output", "grad_image", "grad_flow", "grad_metric")


def gradients(mode: str, upstream: Tensor, *inputs: Tensor | None) -> dict[str, Tensor]:
    """The output, and the gradients of sum(output * upstream), by the goldens' names."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs if x is not None]
    output = splat(*leaves, mode=mode)
    return dict(zip(NAMES, (output, *torch.autograd.grad(output, leaves, upstream.to(output.dtype))), strict=False))


def golden_inputs(case: Case, dtype: torch.dtype = torch.float64) -> Callable[[int, int], Tensor]:
    """Closed forms of the goldens' inputs: offset of the seed and number of channels to a tensor."""
    given = case.info["inputs"]
    size = (given["height"], given["width"])

    def drawn(offset: int, channels: int = 3) -> Tensor:
        return frame(*size, 0.0, given["seed"] + offset, given["batch"])[:, :channels].to(dtype)

    return drawn


def golden_calls() -> Iterator[Any]:
    """Every golden as (case, the prefix of its arrays, mode, image, flow, metric, upstream)."""
    case = load("functions_splatting", "modes_18x23")
    drawn = golden_inputs(case, torch.float32)
    flow, metric = (drawn(1, 2) - 0.5) * 30, drawn(2, 1)
    metrics = {"linear": metric + 0.2, "softmax": (metric - 0.5) * 12}
    for mode in MODES:
        yield case, f"{mode}_", mode, drawn(0), flow, metrics.get(mode), drawn(3) - 0.5

    case = load("functions_splatting", "shift_7x9")
    drawn = golden_inputs(case)
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 7, 9)
    for mode in MODES:
        metric = drawn(2, 1) if mode in ("linear", "softmax") else None
        yield case, f"{mode}_", mode, drawn(0), flow, metric, drawn(3) - 0.5

    case = load("functions_splatting", "zoom_16x20")
    drawn = golden_inputs(case, torch.float32)
    y, x = np.meshgrid(np.arange(16.0), np.arange(20.0), indexing="ij")
    for name, zoom in (("out", 2.3), ("in", 0.45)):
        both = np.stack(((x - 9.5 - 0.137) * (zoom - 1), (y - 7.5 + 0.211) * (zoom - 1)))
        flow = torch.from_numpy(both.astype(np.float32))[None]
        yield case, f"{name}_average_", "average", drawn(0), flow, None, drawn(3) - 0.5
        yield case, f"{name}_softmax_", "softmax", drawn(0), flow, (drawn(2, 1) - 0.5) * 20, drawn(3) - 0.5

    case = load("functions_splatting", "lone_weight_5x14")
    drawn = golden_inputs(case, torch.float32)
    flow = torch.full((1, 2, 5, 14), 1 / 8)
    flow[:, 0] = torch.where(torch.arange(14) < 8, 2.0**-16, 3.0)
    yield case, "average_", "average", drawn(0), flow, None, drawn(3) - 0.5
    yield case, "softmax_", "softmax", drawn(0), flow, (drawn(2, 1) - 0.5) * 4, drawn(3) - 0.5

    case = load("functions_splatting", "linear_zeros_12x15")
    drawn = golden_inputs(case, torch.float32)
    metric = (drawn(2, 1) - 0.5).clamp(min=0)
    yield case, "", "linear", drawn(0), (drawn(1, 2) - 0.5) * 10, metric, drawn(3) - 0.5

    case = load("functions_splatting", "softmax_range_14x17")
    drawn = golden_inputs(case, torch.float32)
    for name, metric in (("offset", (drawn(2, 1) - 0.5) * 12 + 300), ("wide", (drawn(2, 1) - 0.5) * 400)):
        yield case, f"{name}_", "softmax", drawn(0), (drawn(1, 2) - 0.5) * 16, metric, drawn(3) - 0.5

    case = load("functions_splatting", "far_8x9")
    drawn = golden_inputs(case, torch.float32)
    flow = (drawn(1, 2) - 0.5) * 6
    for place, values in case.info["inputs"]["changed"].items():
        row, column = map(int, place.strip("()").split(","))
        flow[0, :, row, column] = torch.tensor([float(v) for v in values])
    for mode in ("sum", "average", "softmax"):
        metric = (drawn(2, 1) - 0.5) * 4 if mode == "softmax" else None
        yield case, f"{mode}_", mode, drawn(0), flow, metric, drawn(3) - 0.5


CALLS = [pytest.param(*call, id=f"{call[0].name}-{call[1]}{call[2]}") for call in golden_calls()]


@pytest.mark.parametrize(("case", "prefix", "mode", "image", "flow", "metric", "upstream"), CALLS)
def test_values_and_gradients_equal_the_goldens(
    case: Case, prefix: str, mode: str, image: Tensor, flow: Tensor, metric: Tensor | None, upstream: Tensor
) -> None:
    inputs = [None if x is None else x.double() for x in (image, flow, metric)]
    got = gradients(mode, upstream, *inputs)
    compared = 0
    for name, value in got.items():
        key = next((k for k in (prefix + name, name) if k in case.arrays), None)
        if key is None:
            continue
        assert_near(value, case.arrays[key], 5e-6 if case.name.startswith("lone") and name != "output" else 1e-6, key)
        compared += 1
    assert compared == len(got)


@pytest.mark.parametrize(("case", "prefix", "mode", "image", "flow", "metric", "upstream"), CALLS)
def test_float32_stays_near_the_goldens(
    case: Case, prefix: str, mode: str, image: Tensor, flow: Tensor, metric: Tensor | None, upstream: Tensor
) -> None:
    got = splat(*[x if x is None else x.float() for x in (image, flow, metric)], mode=mode)
    assert got.dtype == torch.float32
    assert_near(got, case.arrays[next(k for k in (f"{prefix}output", "output") if k in case.arrays)], 1e-5)


@pytest.mark.parametrize(("name", "array"), [("modes_18x23", "coverage"), ("zoom_16x20", "out_coverage")])
def test_coverage_equals_the_golden(name: str, array: str) -> None:
    flow = next(call[4] for call in golden_calls() if call[0].name == name)
    assert_near(coverage(flow.double()), load("functions_splatting", name).arrays[array], 1e-6)


def test_far_pixels_get_gradients_of_exactly_zero() -> None:
    for case, _, mode, image, flow, metric, upstream in golden_calls():
        if case.name == "far_8x9":
            got = gradients(mode, upstream, image, flow, metric)
            out = torch.from_numpy(case.arrays["left_out"]).bool()
            assert all((value[..., out] == 0).all() for name, value in got.items() if name != "output")


# --- closed forms


def drawn(seed: int = 0, batch: int = 2, channels: int = 3, size: tuple[int, int] = (9, 11), reach: float = 4.0) -> Any:
    """A random image, a flow with positions away from whole pixels, a metric, an upstream gradient; float64."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(count: int) -> Tensor:
        return torch.rand(batch, count, *size, dtype=torch.float64, generator=generator)

    image, metric, upstream = uniform(channels), uniform(1) + 0.1, uniform(channels) - 0.5
    flow = (uniform(2) * 2 * reach - reach).floor() + 0.1 + 0.8 * uniform(2)
    return image, flow, metric, upstream


def metric_of(mode: str, metric: Tensor) -> Tensor | None:
    return metric if mode in ("linear", "softmax") else None


@pytest.mark.parametrize("mode", MODES)
def test_zero_flow_is_the_identity(mode: str) -> None:
    image, flow, metric, _ = drawn()
    got = splat(image, torch.zeros_like(flow), metric_of(mode, metric), mode=mode)
    assert_near(got, image, 1e-15)
    assert torch.equal(coverage(torch.zeros_like(flow)), torch.ones_like(metric))


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_shift_moves_the_image_and_leaves_exact_zeros(mode: str) -> None:
    image, flow, metric, _ = drawn()
    flow = torch.tensor([3.0, -2.0], dtype=flow.dtype).view(1, 2, 1, 1).expand_as(flow)
    got = splat(image, flow, metric_of(mode, metric), mode=mode)
    assert_near(got[..., :-2, 3:], image[..., 2:, :-3], 1e-15)
    assert (got[..., -2:, :] == 0).all()
    assert (got[..., :3] == 0).all()


def test_summation_conserves_mass_and_is_the_adjoint_of_backward_warping() -> None:
    image, flow, _, upstream = drawn(reach=3.0)
    inner = torch.zeros_like(image)
    inner[..., 3:-3, 3:-3] = image[..., 3:-3, 3:-3]
    assert_near(splat(inner, flow, mode="sum").sum((2, 3)), inner.sum((2, 3)), 1e-12)
    left = (splat(image, flow, mode="sum") * upstream).sum()
    right = (image * warp(upstream, flow, padding_mode="zeros")).sum()
    assert left.item() == pytest.approx(right.item(), abs=1e-12)


@pytest.mark.parametrize("mode", ["average", "linear", "softmax"])
def test_a_constant_image_stays_constant_and_others_stay_within_their_range(mode: str) -> None:
    image, flow, metric, _ = drawn()
    reached = (coverage(flow) > 0).expand_as(image)
    got = splat(torch.full_like(image, 0.3), flow, metric_of(mode, metric), mode=mode)
    assert reached.any()
    assert not reached.all()
    assert_near(got[reached], torch.full_like(got[reached], 0.3), 1e-12)
    assert (got[~reached] == 0).all()
    got = splat(image, flow, metric_of(mode, metric), mode=mode)[reached]
    assert image.min() - 1e-12 <= got.min()
    assert got.max() <= image.max() + 1e-12


def test_modes_agree_where_they_should() -> None:
    image, flow, metric, _ = drawn()
    average, linear = splat(image, flow), splat(image, flow, metric, mode="linear")
    assert_near(splat(image, flow, torch.full_like(metric, -3.0), mode="softmax"), average, 1e-12)
    assert_near(splat(image, flow, metric.log(), mode="softmax"), linear, 1e-12)
    assert_near(splat(image, flow, 7 * metric, mode="linear"), linear, 1e-12)
    softmax = splat(image, flow, metric, mode="softmax")
    assert_near(splat(image, flow, metric + 500, mode="softmax"), softmax, 1e-10)


def test_softmax_shows_the_pixel_of_the_larger_metric() -> None:
    image = torch.tensor([0.2, 0.9]).view(1, 1, 1, 2)
    flow = torch.zeros(1, 2, 1, 2)
    flow[0, 0, 0, 1] = -1
    for metric, shown in (([0.0, 200.0], 0.9), ([300.0, 0.0], 0.2)):
        got = splat(image, flow, torch.tensor(metric).view(1, 1, 1, 2), mode="softmax")
        assert got[0, 0, 0, 0].item() == pytest.approx(shown)
        assert got[0, 0, 0, 1].item() == 0


@pytest.mark.parametrize("mode", MODES)
def test_flipped_inputs_give_the_flipped_output(mode: str) -> None:
    image, flow, metric, _ = drawn()
    flipped = splat(image.flip(2, 3), -flow.flip(2, 3), metric_of(mode, metric.flip(2, 3)), mode=mode)
    assert_near(flipped.flip(2, 3), splat(image, flow, metric_of(mode, metric), mode=mode), 1e-12)


# --- gradients


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_those_of_finite_differences(mode: str) -> None:
    image, flow, metric, _ = drawn(size=(4, 5), channels=2, reach=2.0)
    inputs = [x.requires_grad_() for x in (image, flow, metric_of(mode, metric)) if x is not None]
    assert torch.autograd.gradcheck(lambda *x: splat(*x, mode=mode), inputs, fast_mode=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("trained", [(True, False, False), (False, True, False), (False, False, True)])
def test_an_input_without_gradient_changes_nothing_for_the_others(mode: str, trained: tuple[bool, ...]) -> None:
    image, flow, metric, upstream = drawn()
    given = [x for x in (image, flow, metric_of(mode, metric)) if x is not None]
    full = list(gradients(mode, upstream, *given).values())[1:]
    leaves = [x.detach().clone().requires_grad_(wanted) for x, wanted in zip(given, trained, strict=False)]
    output = splat(*leaves, mode=mode)
    if not any(x.requires_grad for x in leaves):
        assert not output.requires_grad
        return
    output.backward(upstream)
    for leaf, expected in zip(leaves, full, strict=True):
        assert (leaf.grad is None) != leaf.requires_grad
        assert leaf.grad is None or torch.equal(leaf.grad, expected)


@pytest.mark.parametrize("mode", MODES)
def test_our_backward_equals_automatic_differentiation_of_the_forward(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, flow, metric, upstream = drawn()
    given = [x for x in (image, flow, metric_of(mode, metric)) if x is not None]
    got = gradients(mode, upstream, *given)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # the way that compilers take
    for name, expected in gradients(mode, upstream, *given).items():
        assert_near(got[name], expected, 1e-10, name)


@pytest.mark.parametrize("mode", MODES)
def test_blocks_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image, flow, metric, upstream = drawn()
    given = [x for x in (image, flow, metric_of(mode, metric)) if x is not None]
    together = gradients(mode, upstream, *given)
    monkeypatch.setattr(layer, "BLOCK", 1)
    for name, value in gradients(mode, upstream, *given).items():
        assert_near(value, together[name], 1e-12, name)


# --- kinds of numbers, layouts, graphs, mistakes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_images_are_summed_in_float32(dtype: torch.dtype) -> None:
    image, flow, _, _ = drawn(size=(4, 600), reach=2.0)
    image, flow = image.to(dtype), flow.float()
    with torch.autocast("cpu", torch.bfloat16):
        got = splat(image, flow)
    assert got.dtype == dtype
    assert torch.equal(got, splat(image.float(), flow).to(dtype))


def test_a_position_is_rounded_once() -> None:
    flow = torch.zeros(1, 2, 1, 512)
    flow[..., 500] = 1e-6  # less than half of float32's step at 500: the position is 500
    assert coverage(flow)[0, 0, 0, 501].item() == 1


def test_layouts_change_nothing() -> None:
    image, flow, metric, upstream = drawn()
    expected = gradients("softmax", upstream, image, flow, metric)
    laid = [x.contiguous(memory_format=torch.channels_last) for x in (image, flow, metric)]
    for name, value in gradients("softmax", upstream.contiguous(memory_format=torch.channels_last), *laid).items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("mode", MODES)
def test_deterministic_algorithms_change_no_bit(mode: str) -> None:
    image, flow, metric, upstream = drawn()
    given = [x for x in (image, flow, metric_of(mode, metric)) if x is not None]
    expected = gradients(mode, upstream, *given)
    torch.use_deterministic_algorithms(True)  # new memory is then full of NaN, which none may read
    try:
        got = gradients(mode, upstream, *given)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


class Splatting(torch.nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, image: Tensor, flow: Tensor, metric: Tensor | None = None) -> Tensor:
        return splat(image, flow, metric, mode=self.mode)


@pytest.mark.parametrize("mode", [pytest.param("average", marks=pytest.mark.slow), "softmax"])
def test_an_onnx_graph_of_any_size_gives_the_same_numbers(mode: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    sides = {2: torch.export.Dim("height", min=4), 3: torch.export.Dim("width", min=4)}

    def inputs(size: tuple[int, int]) -> tuple[Tensor, ...]:
        image, flow, metric, _ = (x.float() for x in drawn(batch=1, size=size))
        flow[0, 0, 1, 1], flow[0, 1, 2, 2] = torch.nan, 1e30
        return (image, flow, metric) if mode == "softmax" else (image, flow)

    given = inputs((8, 12))
    with torch.no_grad():
        program = torch.export.export(Splatting(mode), given, dynamic_shapes=(sides,) * len(given))
    written = torch.onnx.export(program, dynamo=True, opset_version=20, verbose=False)
    assert written is not None
    kinds = [node.op_type for node in written.model_proto.graph.node]
    assert kinds.count("ScatterElements") == (12 if mode == "softmax" else 8)
    assert "Loop" not in kinds
    file = io.BytesIO()
    onnx.save(written.model_proto, file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    for size in ((8, 12), (13, 9)):
        given = inputs(size)
        (got,) = session.run(None, {name: x.numpy() for name, x in zip(names, given, strict=True)})
        assert_near(torch.from_numpy(got), splat(*given, mode=mode), 1e-6)


def test_mistakes_are_told_in_one_sentence() -> None:
    image, flow, metric, _ = drawn()
    for call, said in (
        ((image, flow[..., 1:]), "takes an image B C H W and a flow B 2 H W"),
        ((image[0], flow[0]), "takes an image B C H W and a flow B 2 H W"),
        ((image, flow, metric), 'no use for a metric in mode "average"'),
    ):
        with pytest.raises(ValueError, match=said):
            splat(*call)
    with pytest.raises(ValueError, match='needs a metric in mode "softmax"'):
        splat(image, flow, mode="softmax")
    with pytest.raises(ValueError, match="takes a metric of one channel"):
        splat(image, flow, image, mode="linear")
    with pytest.raises(ValueError, match="mode=max is none of sum, average, linear, softmax"):
        splat(image, flow, mode="max")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(33, 47), (16, 17), (1, 5), (2, 2)])
@pytest.mark.parametrize("mode", ["sum", "average", "linear"])
def test_a_warp_and_a_gather_of_corners_give_the_same_gradients(
    mode: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, flow, metric, upstream = drawn(size=size, channels=5)
    flow[:, :, 0] = flow[:, :, 0].round()  # slopes of whole positions are one-sided
    given = [x for x in (image, flow, metric_of(mode, metric)) if x is not None]
    expected = gradients(mode, upstream, *given)
    monkeypatch.setattr(splat_module, "_is_warp_faster", lambda image: False)
    got = gradients(mode, upstream, *given)
    for name in got:
        assert_near(got[name], expected[name], 1e-10 * max(1.0, expected[name].abs().max().item()), name)


@pytest.mark.gpu
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_gpu_gives_the_same_numbers(mode: str, deterministic: bool) -> None:
    image, flow, metric, upstream = drawn(size=(33, 47), channels=5)
    given = [x for x in (image, flow, metric_of(mode, metric)) if x is not None]
    expected = gradients(mode, upstream, *given)
    torch.use_deterministic_algorithms(deterministic)
    try:
        for _ in range(2):
            got = gradients(mode, upstream.cuda(), *(x.cuda() for x in given))
            for name in got:
                assert_near(got[name].cpu(), expected[name], 1e-10, name)
            if deterministic:
                again = gradients(mode, upstream.cuda(), *(x.cuda() for x in given))
                assert all(torch.equal(got[name], again[name]) for name in got)
    finally:
        torch.use_deterministic_algorithms(False)
