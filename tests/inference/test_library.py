"""`from vfi_train import Interpolator`, and the examples of docs/library.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vfi_train.inference.interpolator import Interpolator

ROOT = Path(__file__).parents[2]


def image(phase: float) -> np.ndarray:
    rows, columns = np.mgrid[:80, :128]
    waves = [np.sin((columns - 6 * phase + k * rows) / (5 + 3 * k)) for k in range(3)]
    return ((np.stack(waves, axis=-1) + 1) * 127).astype(np.uint8)


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """What the examples have made, run one after the other."""
    names: dict[str, Any] = {"frame0": image(0.0), "frame1": image(1.0)}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)
    torch.manual_seed(0)
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/library.md, example {number + 1}", "exec"), names)
        names[f"after{number + 1}"] = names.get("middle")
    return names


def test_the_examples_give_what_they_say(examples: dict[str, Any]) -> None:
    e = examples
    array, floats, uint8 = e["after1"], e["after2"], e["after3"]
    assert (array.shape, array.dtype) == ((80, 128, 3), np.uint8)
    assert (floats.shape, floats.dtype) == ((80, 128, 3), np.float64)
    assert np.abs(floats * 255 - array).max() <= 0.5 + 1e-4
    assert (uint8.shape, uint8.dtype) == ((3, 80, 128), torch.uint8)
    assert np.array_equal(uint8.permute(1, 2, 0).numpy(), array)
    assert (e["middles"].shape, e["middles"].dtype) == ((2, 3, 80, 128), torch.float32)
    assert (e["middles"][0] * 255 - uint8.float()).abs().max() <= 0.5 + 1e-3
    assert np.array_equal(e["seven"][3], array)
    for k, frame in enumerate(e["seven"]):
        assert np.abs(frame - image((k + 1) / 8).astype(float)).mean() < 2.5
    assert len(e["three"]) == 3
    assert e["edited"].shape == (80, 128, 3)
    assert e["seams"] <= 8
    right, left = np.s_[:, 72:], np.s_[:, :56]  # edges are soft
    assert len(e["by_maps"]) == len(e["composed"]) == 5
    for k, frame in enumerate(e["by_maps"]):
        # Weights see the times of the app, from 0.1 to 0.9.
        there = 0.1 + 0.8 * (0, 0.5, 1, 0.5, 0)[k]
        assert np.abs(frame.astype(float) - image(there))[right].mean() < 4
        assert np.abs(frame.astype(float) - image(0))[left].mean() < 4
    for k, frame in enumerate(e["composed"]):
        assert np.abs(frame.astype(float) - image((0, 0.5, 1, 0.5, 0)[k]))[right].mean() < 2.5
        assert np.abs(frame.astype(float) - image(k / 4))[left].mean() < 2.5
    assert len(e["smooth"]) == 9
    assert e["smooth"][0] is e["frame0"]
    assert np.array_equal(e["smooth"][4], array)
    assert e["flow_to_frame0"].shape == (1, 2, 80, 128)
    assert 0 <= e["weight_of_frame0"].min() <= e["weight_of_frame0"].max() <= 1


def test_the_shipped_weights_find_the_middle(examples: dict[str, Any]) -> None:
    """Waves that move by 6 pixels: better than the mean of the frames, which blurs them."""
    truth, blend = image(0.5).astype(float), (image(0.0) / 2 + image(1.0) / 2)
    assert np.abs(examples["seven"][3] - truth).mean() < 0.5 * np.abs(blend - truth).mean()


def test_importing_the_package_waits_for_nothing() -> None:
    code = "import sys, vfi_train; print(sorted({'torch', 'numpy', 'hydra', 'lightning'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert told.strip() == "[]"
    import vfi_train

    assert vfi_train.Interpolator is Interpolator
    with pytest.raises(AttributeError, match="has no attribute 'Interpolater'"):
        vfi_train.Interpolater  # noqa: B018
