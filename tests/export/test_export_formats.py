"""Exported networks give the frames of PyTorch: for other sizes and times, and without the package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from PIL import Image
from safetensors.torch import load_file

from tests.helpers.programs import ENVIRONMENT, run_program
from tests.helpers.shift_network import Shift, ShiftMiddle
from tests.helpers.videos import pan, read_rgb, write_video
from vfi_train.architectures import Architecture, create_model
from vfi_train.errors import UserError
from vfi_train.export import run_exported
from vfi_train.export.command import export, format_of
from vfi_train.inference import graphs
from vfi_train.inference.interpolator import Interpolator
from vfi_train.weights import list_shipped, load_weights


def exported(model: Architecture, path: Path) -> float:
    metadata = graphs.metadata_of(model, "shift", "none", None, 1)
    write = graphs.write_onnx if path.suffix == ".onnx" else graphs.write_torch_export
    return write(model, metadata, path)


@pytest.fixture(scope="module", params=[".onnx", pytest.param(".pt2", marks=pytest.mark.slow)])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / f"shift{request.param}"
    assert exported(Shift().eval(), path) < 1e-5
    return path


def test_sizes_and_times_that_the_tracer_never_saw(file: Path) -> None:
    network, expected = run_exported.Network(file), Interpolator(Shift().eval())
    for height, width in ((64, 96), (31, 47), (8, 8), (120, 33)):
        frame0, frame1 = (np.ascontiguousarray(x[:height, :width]) for x in pan(2, height=120, width=100))
        for time in (0.5, 0.125, 0.9):
            got, wanted = network(frame0, frame1, time), expected(frame0, frame1, time)
            assert got.shape == wanted.shape
            assert np.abs(got.astype(int) - wanted).max() <= 1  # a value on the edge of rounding
            assert (got != wanted).mean() < 0.001


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
def test_networks_for_the_middle_frame_are_halved(tmp_path: Path, ending: str) -> None:
    model = ShiftMiddle().eval()
    exported(model, tmp_path / f"middle{ending}")
    network = run_exported.Network(tmp_path / f"middle{ending}")
    assert network.metadata["arbitrary_time"] is False
    frame0, frame1 = pan(2)
    halves = Interpolator(model, recursive=True)(frame0, frame1, [0.0, 0.25, 0.5, 0.75, 1.0])
    for time, wanted in zip((0.0, 0.25, 0.5, 0.75, 1.0), halves, strict=True):
        assert np.abs(network(frame0, frame1, time).astype(int) - wanted).max() <= 2  # the runner rounds on the way


WITHOUT_US = """
import runpy, sys
for name in ("vfi_train", "datamodules", "losses", "lightning", "hydra", "omegaconf", "timm", "av", *{unused!r}):
    sys.modules[name] = None  # importing it fails
sys.argv = {arguments!r}
runpy.run_path("run_exported.py", run_name="__main__")
"""


@pytest.mark.slow
def test_the_runner_needs_none_of_our_packages(file: Path, tmp_path: Path) -> None:
    """Images and a video, by a copy of the one file, in a process where nothing else can be imported."""
    shutil.copy(run_exported.__file__, tmp_path / "run_exported.py")
    for index, image in enumerate(pan(2)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    write_video(tmp_path / "in.mp4", pan(4))
    unused = ("torch",) if file.suffix == ".onnx" else ("onnx", "onnxruntime")
    runs = [["0.png", "1.png", "--output", "middle.png"], ["in.mp4", "--factor", "3", "--output", "out.mp4"]]
    code = "".join(
        WITHOUT_US.format(unused=unused, arguments=["run_exported.py", str(file), *arguments]) for arguments in runs
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert process.returncode == 0, process.stderr
    expected = Interpolator(Shift().eval())(*pan(2))
    got = np.asarray(Image.open(tmp_path / "middle.png"))
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert len(read_rgb(tmp_path / "out.mp4")) == 10
    assert "out.mp4: 10 frames at 72 per second" in process.stdout


def test_a_graph_that_differs_is_refused() -> None:
    metadata = graphs.metadata_of(Shift(), "shift", "none", None, 1)
    with pytest.raises(UserError, match=r"the graph of shift differs from PyTorch by .*, more than 1e-03"):
        graphs.check(Shift().eval(), metadata, lambda frame0, frame1, time: frame0)


def test_what_a_caller_must_know_is_in_the_file(file: Path) -> None:
    import onnx

    expected = {
        "model": "shift", "weights": "none", "size_multiple": 8, "min_size": 16, "arbitrary_time": True, "size": None,
        "iterations": 1,
    }  # fmt: skip
    assert run_exported.Network(file).metadata == expected
    if file.suffix == ".onnx":
        model = onnx.load(file)
        assert [(x.domain, x.version) for x in model.opset_import] == [("", 20)]
        assert [x.name for x in model.graph.input] == ["frame0", "frame1", "time"]
        sides = model.graph.input[0].type.tensor_type.shape.dim[2:]
        assert all(side.dim_param for side in sides)  # names, not numbers


# --- the command


def run_export(tmp_path: Path, name: str, **values: Any) -> Path:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("export", overrides=[f"model={values.pop('model', 'ifrnet_tiny')}"])
    config.update({"weights": "ifrnet_tiny_synthetic", "output": str(tmp_path / name), **values})
    export(config)
    return tmp_path / name


def test_safetensors_hold_the_published_names_and_load_again(tmp_path: Path) -> None:
    path = run_export(tmp_path, "weights.safetensors", format="safetensors")
    published = torch.load(run_export(tmp_path, "weights.pth", format="published"), weights_only=True)
    tensors = load_file(path)
    assert tensors.keys() == published.keys()
    assert all(torch.equal(tensors[name], published[name]) for name in tensors)
    model, shipped = create_model("ifrnet_tiny"), create_model("ifrnet_tiny")
    load_weights(model, path)
    load_weights(shipped, "ifrnet_tiny_synthetic")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), shipped.parameters(), strict=True))
    assert "ifrnet_tiny_synthetic" in list_shipped()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "onxx"}, "format=onxx is not known: did you mean 'onnx'"),
        ({"format": "onnx", "size": "720p"}, "size=720p is not HEIGHTxWIDTH"),
        ({"format": "torch_export"}, "format=torch_export writes files whose names end in .pt2"),
        ({"format": "aotinductor"}, "format=aotinductor writes files whose names end in .pt2"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path: Path, values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_export(tmp_path, "out.onnx", **values)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("m.onnx", None, "onnx"), ("m.pt2", None, "torch_export"), ("m.safetensors", None, "safetensors"),
        ("m.pth", None, "published"), ("m.pkl", None, "published"), ("m.pt2", "aotinductor", "aotinductor"),
        ("folder", "hub", "hub"),
    ],
)  # fmt: skip
def test_the_ending_decides_the_format(name: str, given: str | None, expected: str) -> None:
    assert format_of(Path(name), given) == expected


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("m.onnx", "published", r"format=published writes files whose names end in \.pth or .*, not m\.onnx"),
        ("m.pt2", "safetensors", r"whose names end in \.safetensors: .*, not m\.pt2"),
        ("m.pth", "onnx", r"whose names end in \.onnx: .*, not m\.pth"),
        ("m.bin", None, r"output=m\.bin does not end in \.pth, .*\.onnx, \.pt2: give such a name"),
        ("folder", None, "does not end in"),
    ],
)
def test_an_ending_of_another_format_is_refused(name: str, given: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        format_of(Path(name), given)


@pytest.mark.parametrize(
    ("form", "ending"),
    [
        ("published", "pth"),
        ("safetensors", "safetensors"),
        pytest.param("torch_export", "pt2", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk: Path, form: str, ending: str) -> None:
    output = f"output={small_disk}/out.{ending}"
    arguments = ("model=ifrnet_s", "weights=ifrnet_s_synthetic", f"format={form}", output)
    result = run_program("vfi_train.export", *arguments, cwd=small_disk)
    assert result.returncode == 2, result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: the disk is full")
    assert not list(small_disk.iterdir())


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "nowhere++")
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler, and there is no nowhere\\+\\+: install one"):
        run_export(tmp_path, "net.pt2", format="aotinductor")
    assert list(tmp_path.iterdir()) == []


def test_attention_windows_need_a_size() -> None:
    model = create_model("ema_vfi_small")
    with pytest.raises(UserError, match="the graph of ema_vfi_small depends on the size"):
        graphs.metadata_of(model, "ema_vfi_small", "none", None, 1)
    assert graphs.metadata_of(model, "ema_vfi_small", "none", (100, 130), 1).size == (112, 144)


def test_the_runner_tells_mistakes(tmp_path: Path, file: Path) -> None:
    Image.fromarray(pan(1)[0]).save(tmp_path / "a.png")
    Image.fromarray(pan(1)[0][:50]).save(tmp_path / "b.png")
    a, b = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    for arguments, message in (
        (["none.onnx", a, a], "none.onnx is no file that ends in"),
        ([str(file), a, b], "different sizes"),
        ([str(file), a, a, a], "two images or one video; got 3"),
        ([str(file), a, str(tmp_path / "c.png")], "is not an image that can be read"),
        ([str(file), str(tmp_path / "c.mp4")], "cannot be read as a video"),
        ([str(file), a, a, "--times", "0.2", "0.4"], "give a folder"),
    ):
        with pytest.raises(SystemExit, match=message):
            run_exported.main([*arguments, "--output", str(tmp_path / "out")])


REAL = {
    "ifrnet_tiny": None, "ifrnet_dr": None, "rife": None, "rife_d": None, "amt_s": None,
    "ema_vfi_small_t": "64x96", "ema_vfi_small": "64x96", "atm_vfi_lite": "128x128",
}  # fmt: skip


IN_CI = [(name, "onnx") for name in ("ifrnet_tiny", "amt_s", "ema_vfi_small_t", "atm_vfi_lite")]
IN_CI += [("ifrnet_dr", "torch_export"), ("ema_vfi_small", "torch_export")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param(name, form, marks=[] if (name, form) in IN_CI else pytest.mark.long)
        for name in REAL
        for form in ("onnx", "torch_export")
    ],
)
def test_real_networks(tmp_path: Path, name: str, form: str) -> None:
    """Each family, with fresh weights; the command checks itself, and the runner is compared once more."""
    torch.manual_seed(0)
    model = create_model(name).eval()
    for parameter in model.parameters():
        parameter.data.mul_(0.8)  # fresh weights make flows that leave the image
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    ending = ".onnx" if form == "onnx" else ".pt2"
    path = run_export(
        tmp_path, f"net{ending}", model=name, weights=str(tmp_path / "weights.pth"), format=form, size=REAL[name]
    )
    network = run_exported.Network(path)
    frame0, frame1 = (np.ascontiguousarray(x[:60, :90]) for x in pan(2, height=128, width=128))
    if network.metadata["size"] is None:
        got, wanted = network(frame0, frame1), Interpolator(model)(frame0, frame1)
    else:
        height, width = network.metadata["size"]
        frame0, frame1 = pan(2, height=height, width=width)
        got, wanted = network(frame0, frame1), Interpolator(model)(frame0, frame1)
    assert np.abs(got.astype(int) - wanted).max() <= 1
    assert json.loads(json.dumps(network.metadata))["model"] == name


@pytest.mark.slow
def test_weights_that_know_the_middle_alone_are_halved_by_the_runner(tmp_path: Path) -> None:
    network = run_exported.Network(run_export(tmp_path, "net.onnx", format="onnx"))
    assert network.metadata["arbitrary_time"] is False
    frame0, frame1 = pan(2)
    wanted = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic", recursive=True)(frame0, frame1, 0.25)
    assert np.abs(network(frame0, frame1, 0.25).astype(int) - wanted).max() <= 2


@pytest.mark.long
@pytest.mark.slow
def test_a_compiled_package_answers_as_pytorch_does(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """AOTInductor; for a size that the tracer never saw."""
    path = run_export(tmp_path, "net.pt2", format="aotinductor")
    assert (
        "AOTInductor package (the middle frame, heights and widths that are multiples of 16" in capsys.readouterr().out
    )
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt2"]
    network = run_exported.Network(path)
    assert network.metadata["model"] == "ifrnet_tiny"
    frame0, frame1 = pan(2, height=100, width=150)
    wanted = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic")(frame0, frame1)
    assert np.abs(network(frame0, frame1).astype(int) - wanted).max() <= 1
