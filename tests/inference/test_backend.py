"""Networks computed by other runtimes than PyTorch: their frames, the cache of graphs, and what is refused."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from tests.helpers.programs import ENVIRONMENT
from tests.helpers.shift_network import Shift, ShiftMiddle
from tests.helpers.videos import pan
from vfi_train.architectures import create_model
from vfi_train.errors import UserError
from vfi_train.inference import backend as module
from vfi_train.inference import graph_cache
from vfi_train.inference.backend import Backend
from vfi_train.inference.compiled import CompiledNetwork
from vfi_train.inference.graph_cache import cache_folder, fingerprint
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.request import Request
from vfi_train.inference.runtimes import OpenVino
from vfi_train.runtime.devices import emulation

CPU = torch.device("cpu")
HALF = pytest.mark.skipif("bf16" not in OpenVino.precisions(CPU), reason="this processor has no bf16")


class ShiftMaps(Shift):
    takes_time_map = True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of this file share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))


def batch(height: int = 60, width: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    """Two frames of two clips each, 2 3 H W in [0, 1]."""
    clips = [pan(2, seed=seed, height=height, width=width) for seed in range(2)]
    frame0, frame1 = (np.stack([clip[k] for clip in clips]) for k in range(2))
    return tuple(torch.from_numpy(x).movedim(-1, 1) / 255 for x in (frame0, frame1))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("backend", "precision", "most"),
    [
        ("openvino", "fp32", 1e-5),
        pytest.param("openvino", "bf16", 0.03, marks=HALF),
        ("onnxruntime", "float32", 1e-5),
        ("torch", "bf16", 0.03),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tta": True},
        {"channel_order": "rgb", "padding": "zeros", "padding_side": "right_bottom"},
        {"tile": 64, "tile_overlap": 16},
        {"recursive": True},
        {"times_at_once": 2},
    ],
)
def test_frames_are_those_of_pytorch(backend: str, precision: str, most: float, options: dict[str, Any]) -> None:
    """For a batch, several times, and all that surrounds the network."""
    model, frames, times = Shift().eval(), batch(), [0.25, 0.5]
    with torch.inference_mode():
        expected = [p.frame for p in Interpolator(model, **options).stream(*frames, times)]
        other = Interpolator(model, backend=backend, precision=precision, **options)
        found = [p.frame for p in other.stream(*frames, times)]
    assert other.backend.chosen == (backend, precision.replace("float", "fp"))
    for frame, wanted in zip(found, expected, strict=True):
        assert frame.shape == wanted.shape
        difference = (frame - wanted).abs().max()
        assert difference < most
        assert (difference > 1e-4) == (precision == "bf16")  # it was computed as precisely as that


@pytest.mark.parametrize(("model", "times"), [(Shift(), [0.125, 0.9]), (ShiftMiddle(), [0.5])])
def test_images_of_users_are_within_a_level(model: Shift, times: list[float]) -> None:
    frame0, frame1 = pan(2)
    found = Interpolator(model, backend="onnxruntime")(frame0, frame1, times)
    for image, wanted in zip(found, Interpolator(model)(frame0, frame1, times), strict=True):
        assert np.abs(image.astype(int) - wanted).max() <= 1


def test_pytorch_computes_what_graphs_do_not_take_and_says_so_once() -> None:
    model, notes = ShiftMaps().eval(), []
    frame0, frame1 = pan(2)
    time = np.tile(np.linspace(0, 1, frame0.shape[1]), (frame0.shape[0], 1))
    other = Interpolator(model, backend="onnxruntime")
    other.backend.note = notes.append
    for _ in range(2):
        assert np.array_equal(other(frame0, frame1, [time])[0], Interpolator(model)(frame0, frame1, [time])[0])
    assert notes == ["backend=onnxruntime does not take time maps: PyTorch computes these frames"]


def test_a_processor_without_half_precision_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_emulated", lambda dtype, device: dtype == torch.bfloat16)
    notes: list[str] = []
    other = Interpolator(Shift().eval(), precision="bf16")
    other.backend.note = notes.append
    for _ in range(2):
        other(*pan(2))
    assert notes == [emulation("precision=bf16")]
    assert ("torch", "bf16") not in Backend(Shift(), "auto", "auto")._candidates()


# --- compiled by PyTorch


@pytest.fixture
def compiled_here(monkeypatch: pytest.MonkeyPatch) -> CompileCounterWithBackend:
    """What `backend=compiled` does on a GPU, on the CPU: without kernels of its own, frames counted as compiled."""
    torch.compiler.reset()
    counter = CompileCounterWithBackend("eager")
    monkeypatch.setattr(CompiledNetwork, "precisions", lambda device: ("bf16", "fp32"))
    monkeypatch.setattr(CompiledNetwork, "options", {"backend": counter})
    return counter


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-6), ("bf16", 0.03)])
def test_a_compiled_network_gives_the_same_frames(
    precision: str, most: float, compiled_here: CompileCounterWithBackend
) -> None:
    model, frames, times, notes = Shift().eval(), batch(), [0.25, 0.5, 0.75], []
    expected = [p.frame for p in Interpolator(model, tta=True).stream(*frames, times)]
    other = Interpolator(model, tta=True, backend="compiled", precision=precision)
    other.backend.note = notes.append
    for mode in (torch.enable_grad(), torch.no_grad(), torch.inference_mode()):
        with mode:
            found = [p.frame for p in other.stream(*frames, times)]
        for frame, wanted in zip(found, expected, strict=True):
            assert (frame - wanted).abs().max() < most
            assert not frame.requires_grad
        assert torch.is_inference(found[0]) == isinstance(mode, torch.inference_mode)
    assert compiled_here.frame_count == 1  # for all times and calls
    assert notes == ["backend=compiled: the first frames of each size wait until the network is compiled"]


@pytest.mark.slow
def test_more_sizes_than_torch_compiles_by_itself_are_compiled(compiled_here: CompileCounterWithBackend) -> None:
    other = Interpolator(Shift().eval(), backend="compiled")
    other.backend.note = lambda line: None
    for count in range(10):
        other.predict(*(x[:1] for x in batch(16, 24 + 8 * count)))
    assert compiled_here.frame_count == 10


def test_frames_stay_when_a_graph_writes_its_memory_again() -> None:
    memory = torch.zeros(1, 3, 8, 8)

    class Recorded(CompiledNetwork):
        def __init__(self) -> None:
            self._run = lambda frame0, frame1, time: memory.copy_(frame0)

    run = Recorded()
    first, second = (run(torch.full_like(memory, value), memory, memory) for value in (1.0, 2.0))
    assert (first == 1).all()
    assert (second == 2).all()


def test_a_compiled_network_leaves_maps_to_pytorch(compiled_here: CompileCounterWithBackend) -> None:
    model, notes = ShiftMaps().eval(), []
    frame0, frame1 = pan(2)
    time = np.tile(np.linspace(0, 1, frame0.shape[1]), (frame0.shape[0], 1))
    other = Interpolator(model, backend="compiled")
    other.backend.note = notes.append
    assert np.array_equal(other(frame0, frame1, [time])[0], Interpolator(model)(frame0, frame1, [time])[0])
    assert notes == ["backend=compiled does not take time maps: PyTorch computes these frames"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["ifrnet_s", "rife_m", "amt_s"])
@pytest.mark.parametrize(("precision", "least"), [("fp32", 60.0), ("bf16", 35.0)])
def test_cuda_graphs_give_the_frames_of_pytorch(name: str, precision: str, least: float) -> None:
    torch.manual_seed(0)
    model = create_model(name).eval().cuda()
    frames = [x.cuda() for x in batch(128, 192)]
    plain, other = Interpolator(model), Interpolator(model, backend="compiled", precision=precision)
    for pair in (frames, frames[::-1], frames):
        distance = (other.predict(*pair).frame - plain.predict(*pair).frame).square().mean()
        assert -10 * distance.log10() > least


# --- the cache


def test_a_graph_is_that_of_weights_size_and_settings() -> None:
    model, given = Shift(), ((16, 24), 1.0, 2)
    first = fingerprint(model, *given)
    assert fingerprint(Shift().eval().to(memory_format=torch.channels_last), *given) == first
    others = [fingerprint(model, *other) for other in (((24, 16), 1.0, 2), ((16, 24), 0.5, 2), ((16, 24), 1.0, 3))]
    others.append(fingerprint(ShiftMaps(), *given))
    with torch.no_grad():
        model.down.bias.add_(1e-6)
    others.append(fingerprint(model, *given))
    model.level = 2  # type: ignore[assignment]  # a setting
    others.append(fingerprint(model, *given))
    assert len({first, *others}) == 7


def test_a_graph_is_made_once_and_again_if_it_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model, frames, notes = Shift().eval(), batch(16, 24), []
    expected = Interpolator(model).predict(*frames).frame

    def predict() -> None:
        other = Interpolator(model, backend="onnxruntime")
        other.backend.note = notes.append
        assert (other.predict(*frames).frame - expected).abs().max() < 1e-5

    predict()
    predict()
    assert notes == [f"making the graph of Shift for frames of 16x24, once: it is kept in {cache_folder()}"]
    (path,) = cache_folder().iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    predict()
    assert path.read_bytes() == content
    assert len(notes) == 2
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made there
    predict()


def test_the_cache_forgets_what_was_not_used_for_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age in range(5):
        (tmp_path / f"{age}.onnx").write_bytes(bytes(100))
        os.utime(tmp_path / f"{age}.onnx", (1e9 - age, 1e9 - age))
    monkeypatch.setattr(graph_cache, "LARGEST", 350)
    graph_cache._limit(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["0", "1", "2"]


# --- the choice


def test_short_work_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    frame0, frame1 = pan(2)
    for count in (1, 20):
        short = Interpolator(Shift(), backend="auto", precision="auto")
        short.backend.frames, short.backend.note = count, pytest.fail
        assert np.array_equal(short(frame0, frame1), Interpolator(Shift())(frame0, frame1))
        assert short.backend.chosen == ("torch", "fp32")


@pytest.mark.parametrize("backend", ["auto", "openvino", "torch"])
def test_what_is_chosen_is_close_and_said(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIAL", 0.0)
    notes: list[str] = []
    chosen = Interpolator(Shift(), backend=backend, precision="auto")
    chosen.backend.note = notes.append
    frames = batch()
    difference = chosen.predict(*frames).frame - Interpolator(Shift()).predict(*frames).frame
    assert chosen.backend.chosen is not None
    name, precision = chosen.backend.chosen
    assert name == backend or backend == "auto"
    assert -10 * difference.square().mean().log10() > module.CLOSE - 3  # of one pair, chosen by the other
    assert f"backend={name} precision={precision}: " in notes[-1]
    assert " times as fast as PyTorch in float32" in notes[-1]


def test_of_half_precisions_the_faster_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors with matrix units for bf16 compute fp16 without them, and slower than PyTorch does float32."""
    seconds = {"fp32": 60.0, "fp16": 70.0, "bf16": 15.0}
    tried = []

    def trial(self: Backend, backend: str, precision: str, pair: Any, *, once: bool = False) -> tuple[Any, float]:
        tried.append((backend, precision))
        return pair.frame0 + (precision != "fp32") * 1e-4, seconds[precision]

    monkeypatch.setattr(Backend, "_trial", trial)
    monkeypatch.setattr(OpenVino, "precisions", lambda device: ("fp16", "bf16", "fp32"))
    chosen = Backend(Shift(), "openvino", "auto", note=lambda line: None)
    frame0, frame1 = batch()
    assert chosen._choose(Request(frame0, frame1, [torch.full((2, 1, 1, 1), 0.5)])) == ("openvino", "bf16")
    assert tried[2:] == [("openvino", "fp16"), ("openvino", "bf16")]


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_nothing_far_from_float32_is_chosen(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIAL", 0.0)
    monkeypatch.setattr(module, "CLOSE", 1000.0)
    chosen = Interpolator(Shift(), backend=backend, precision="auto")
    chosen.backend.note = lambda line: None
    chosen.predict(*batch())
    assert chosen.backend.chosen == ("torch" if backend == "auto" else backend, "fp32")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "openvno"}, "backend=openvno is not known: did you mean 'openvino'"),
        ({"precision": "fp8"}, "precision=fp8 is not known: did you mean "),
        ({"backend": "tensorrt"}, r"backend=tensorrt needs the package tensorrt: pip install 'vfi_train\[tensorrt\]'"),
        ({"backend": "onnxruntime", "precision": "bf16"}, "backend=onnxruntime has no precision=bf16 here: give fp32"),
        ({"backend": "compiled"}, "backend=compiled does not compute on cpu: give another device, or backend=torch"),
        ({"backend": "openvino", "precision": "tf32"}, "backend=openvino has no precision=tf32 here: give .*fp32, or"),
    ],
)
def test_what_is_not_here_gets_one_sentence(given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Interpolator(Shift(), **given)  # type: ignore[arg-type]


def test_a_runtime_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"needs the package openvino: pip install 'vfi_train\[openvino\]', or give"):
        Backend(Shift(), "openvino")
    assert ("openvino", "fp32") not in Backend(Shift(), "auto")._candidates()


class SignalStack(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "sigaltstack"), reason="this system has no sigaltstack")
def test_signal_handlers_keep_their_stack_when_runtimes_of_openvino_are_freed() -> None:
    """Each of its cores brings one; of several, the last one freed puts back one that is gone."""

    def stack() -> int | None:
        found = SignalStack()
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
        return found.address

    runtimes, seen = [], set()
    for _ in range(2):
        runtimes.append(Interpolator(Shift(), backend="openvino"))
        runtimes[-1].predict(*batch())
        seen.add(stack())
    while runtimes:
        del runtimes[0]
        gc.collect()
        seen.add(stack())
    assert len(seen) == 1


def test_openvino_reports_nothing_to_its_makers() -> None:
    """Its telemetry forks beside our threads: the process that it starts, and ours, may never end."""
    code = (
        "import sys, torch; from vfi_train.inference.runtimes import RUNTIMES; "
        "RUNTIMES['openvino'].precisions(torch.device('cpu')); "
        "print('openvino' in sys.modules, sys.modules['openvino_telemetry'])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=Path(__file__).parents[2])
    assert result.stdout.split()[-2:] == ["True", "None"], result.stdout + result.stderr
