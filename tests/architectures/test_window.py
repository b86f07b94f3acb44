"""Windows and their masks: goldens of EMA-VFI, properties for the rest."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.golden_cases import load
from vfi_train.architectures.layers.window import BLOCKED, WindowGrid

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [(8, 12), (6, 10), (14, 28), (16, 16), (13, 7), (8, 9)])
@pytest.mark.parametrize(("name", "shift"), [("pad", 0), ("shift", 3)])
def test_masks_equal_the_published_ones(size: tuple[int, int], name: str, shift: int) -> None:
    expected = load("functions_EMA-VFI", "window_masks").tensor(f"{name}_{size[0]}x{size[1]}")
    mask = WindowGrid(*size, 7, shift).mask(CPU)
    if expected.numel() == 0:
        assert mask is None
    else:
        assert torch.equal(mask, BLOCKED * expected.float())


@pytest.mark.parametrize("size", [(7, 14), (8, 9), (13, 3), (1, 1)])
@pytest.mark.parametrize("shift", [0, 3])
def test_joining_undoes_splitting(size: tuple[int, int], shift: int) -> None:
    grid = WindowGrid(*size, 7, shift)
    x = torch.arange(2 * size[0] * size[1] * 3.0).reshape(2, *size, 3) + 1
    windows = grid.split(x)
    assert windows.shape[1:] == (49, 3)
    assert windows.sum() == x.sum()  # what is added is zero, nothing is lost
    assert torch.equal(grid.join(windows), x)


def test_windows_are_row_major_and_one_item_after_the_other() -> None:
    x = torch.arange(2 * 4 * 6).reshape(2, 4, 6, 1)
    windows = WindowGrid(4, 6, 2).split(x).squeeze(-1)
    assert windows.tolist()[:4] == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11], [12, 13, 18, 19]]
    assert windows[6].tolist() == [24, 25, 30, 31]
    shifted = WindowGrid(4, 6, 2, 1).split(x).squeeze(-1)
    assert shifted[0].tolist() == [7, 8, 13, 14]
    assert shifted[5].tolist() == [23, 18, 5, 0]  # the last window holds the four corners


def test_padding_is_centred_with_the_odd_one_last() -> None:
    windows = WindowGrid(1, 2, 4).split(torch.ones(1, 1, 2, 1))
    assert windows.reshape(4, 4).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_weights_of_blocked_pairs_are_zero_and_not_denormal() -> None:
    """Denormal numbers, which exp(-100) is, are multiplied some sixty times as slowly as others."""
    blocked = torch.linspace(-40, 40, 81) + BLOCKED
    assert torch.equal(torch.stack((torch.zeros(81), blocked)).softmax(dim=0)[1], torch.zeros(81))
