"""Published checkpoints in every wrapper; every kind of mismatch in one sentence; round trips."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vfi_train.architectures import Architecture, create_model
from vfi_train.errors import UserError
from vfi_train.weights import list_shipped, load_published, load_weights, published_state_dict
from vfi_train.weights.load import shipped_folder
from vfi_train.weights.names import to_ours, to_published
from vfi_train.weights.published_checkpoint import read_checkpoint


@pytest.fixture
def model() -> Architecture:
    torch.manual_seed(0)
    return create_model("ifrnet_tiny")


def fresh() -> Architecture:
    torch.manual_seed(1)
    return create_model("ifrnet_tiny")


def same(a: Architecture, b: Architecture) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
        lambda s: {"params_ema": s},
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", "dict"])
def test_every_wrapper_loads(model: Architecture, wrap: object, suffix: str, tmp_path: Path) -> None:
    content = wrap(published_state_dict(model))  # type: ignore[operator]
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        if not all(isinstance(v, torch.Tensor) for v in content.values()):
            content = next(v for v in content.values() if isinstance(v, dict))
        save_file(content, path)
    elif suffix == ".pth":
        torch.save(content, path)
    other = fresh()
    assert not same(model, other)
    load_published(other, content if suffix == "dict" else path)
    assert same(model, other)


def test_mismatches_are_reported_and_change_nothing(model: Architecture, tmp_path: Path) -> None:
    state = published_state_dict(model)
    name = next(iter(state))
    cases = {
        "1 tensors are missing (encoder.pyramid1.0.0.weight)": {k: v for k, v in state.items() if k != name},
        "1 tensors are not known (extra)": {**state, "extra": torch.zeros(1)},
        "1 tensors have another shape (encoder.pyramid1.0.0.weight (1,) for (8, 3, 3, 3))": {
            **state,
            name: torch.zeros(1),
        },
        "has 1 tensors with values that are not finite": {**state, name: torch.full_like(state[name], float("nan"))},
        "holds no tensors": {"epoch": 3},
    }
    for said, content in cases.items():
        other, before = fresh(), fresh()
        with pytest.raises(ValueError, match=r".") as caught:
            load_published(other, content)
        assert said in str(caught.value)
        assert same(other, before)
    with pytest.raises(ValueError, match="choose the variant that the checkpoint was trained as"):
        load_published(create_model("ifrnet_s"), state)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no weights file"):
        load_published(fresh(), tmp_path / "nothing.pth")
    for name in ("cut.pth", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut short")
        with pytest.raises(ValueError, match="no complete"):
            load_published(fresh(), tmp_path / name)
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(ran), "w"))  # type: ignore[return-value]

    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.pth")
    (tmp_path / "raw.pkl").write_bytes(pickle.dumps(Hostile()))
    for name in ("hostile.pth", "raw.pkl"):
        with pytest.raises(ValueError, match="neither a tensor nor a plain container"):
            load_published(fresh(), tmp_path / name)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html><body>sign in</body></html>", "a web page, not weights: download the file itself"),
        (b"\n<html lang=en>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"epoch 3\nloss 0.1\n", "a text file, not weights"),
        ("gewichte für später\n".encode(), "a text file, not weights"),
        (b"\x00\x01\x02" * 100, "no complete"),
    ],
)
def test_other_files_are_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        read_checkpoint(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name))


def test_numpy_scalars_are_numbers_and_other_objects_are_named(tmp_path: Path) -> None:
    numbers = {"psnr": np.float64(31.5), "step": np.int32(7), "big": np.array(2.5, ">f4")[()], "good": np.bool_(True)}
    torch.save({"state_dict": {"a": torch.ones(2)}, **numbers}, tmp_path / "w.pth")
    read = read_checkpoint(tmp_path / "w.pth")
    assert {key: read[key] for key in numbers} == {"psnr": 31.5, "step": 7, "big": 2.5, "good": True}
    assert [type(read[key]) for key in numbers] == [float, int, float, bool]
    torch.save({"state_dict": {"a": torch.ones(2)}, "when": Path("x")}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth holds a pathlib\.PosixPath, which is neither a tensor nor") as raised:
        read_checkpoint(tmp_path / "w.pth")
    assert str(raised.value).isprintable()
    torch.save({"a": np.array([print], object)[0:1]}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds a"):
        read_checkpoint(tmp_path / "w.pth")


def test_templates_translate_both_ways() -> None:
    names = [("dec{k}.up.{rest}", "decoders.{k}.{rest}"), ("fix.weight", "bias.weight")]
    for published, ours in (
        ("dec4.up.0.conv.weight", "decoders.4.0.conv.weight"),
        ("fix.weight", "bias.weight"),
        ("other.weight", "other.weight"),
    ):
        assert to_ours(published, names) == ours
        assert to_published(ours, names) == published


@pytest.mark.parametrize("name", list_shipped())
def test_shipped_weights_load_and_have_a_card(name: str) -> None:
    card = (shipped_folder() / f"{name}.md").read_text()
    (architecture,) = re.findall("^- architecture: `([a-z_]+)`", card, re.MULTILINE)
    model = create_model(architecture)
    path = load_weights(model, name)
    assert "recipe:" in card
    assert "seed" in card
    assert path.stat().st_size < 8e6


def test_tensors_that_are_left_out_are_said_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = create_model("rife_v4_25_lite")
    extras = {"teacher.conv0.weight": torch.zeros(1), "caltime.0.weight": torch.zeros(1)}
    path = tmp_path / "flownet.pkl"
    torch.save({f"module.{k}": v for k, v in {**published_state_dict(source), **extras}.items()}, path)
    for _ in range(2):
        model = create_model("rife_v4_25_lite")
        load_weights(model, path)
        assert same(model, source)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        f"{path}: 2 tensors that the network does not use were left out (teacher.conv0.weight, caltime.0.weight)\n"
    )


def test_there_are_shipped_weights() -> None:
    assert {"ifrnet_tiny_synthetic", "ifrnet_tiny_d_synthetic", "ifrnet_s_synthetic"} <= set(list_shipped())
