"""The loader's speed against a plainly written one, in processor time, which other programs hardly change."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.loader import measure


@pytest.mark.slow
def test_packed_is_fifteen_times_as_fast_as_plain_and_files_are_faster_than_plain(tmp_path: Path) -> None:
    found = measure(tmp_path, triplets=100, workers=2, rounds=3, seconds=2.0)
    takes = found["worker_ms_per_sample"]
    assert takes["plain"] / takes["packed"] > 15
    assert takes["files"] < takes["plain"]
    assert found["times_plain"]["packed"] > 15
