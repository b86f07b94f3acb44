"""What this machine can do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vfi_train.runtime.devices import is_emulated

CPUINFO = Path("/proc/cpuinfo")


@pytest.mark.skipif("avx2" not in (CPUINFO.read_text() if CPUINFO.exists() else ""), reason="no processor with AVX2")
def test_bfloat16_wants_avx512() -> None:
    flags = CPUINFO.read_text().partition("flags")[2].partition("\n")[0].split()
    assert is_emulated(torch.bfloat16, torch.device("cpu")) == ("avx512bw" not in flags)


def test_float32_is_never_emulated() -> None:
    assert not any(is_emulated(dtype, torch.device("cpu")) for dtype in (None, torch.float32))
    assert not is_emulated(torch.bfloat16, torch.device("cuda"))
