"""The metrics of results: titles, directions, digits, units."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A metric in tables: its title, direction of better, digits, and unit."""

    title: str
    higher_is_better: bool
    digits: int
    unit: str = ""


COLUMNS = {
    "psnr": Column("PSNR", True, 2, "dB"),
    "ssim": Column("SSIM", True, 4),
    "ie": Column("IE", False, 3),
    "lpips": Column("LPIPS", False, 4),
    "niqe": Column("NIQE", False, 3),
}
