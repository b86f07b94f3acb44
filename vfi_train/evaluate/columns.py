"""The metrics of results: titles, directions, digits, units, and what exactly each compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """A metric in tables and results.

    Args:
        title, higher_is_better, digits, unit: in tables.
        values: the range of its values.
        images: what it compares: colours and their range.
        backbone: the network of `losses.backbones` whose features it compares; "": none.
        crop: the pixels that do not count.
        method: what else a number depends on.
    """

    title: str
    higher_is_better: bool
    digits: int
    unit: str = ""
    values: str = "0 to infinity"
    images: str = "RGB, 0 to 1"
    backbone: str = ""
    crop: str = "none"
    method: str = ""


def _lpips(net: str, backbone: str) -> Column:
    return Column(f"LPIPS {net}", False, 4, images="RGB, -1 to 1", backbone=backbone, method="version 0.1")


COLUMNS = {
    "psnr": Column("PSNR", True, 2, "dB"),
    "ssim": Column("SSIM", True, 4, values="-1 to 1"),
    "ie": Column("IE", False, 3, values="0 to 255", images="RGB, 0 to 255, both rounded to 8 bit"),
    "lpips_alex": _lpips("alex", "alexnet"),
    "lpips_vgg": _lpips("vgg", "vgg16"),
    "lpips_squeeze": _lpips("squeeze", "squeezenet1_1"),
    "dists": Column("DISTS", False, 4, values="0 to 1", backbone="vgg16"),
    "niqe": Column(
        "NIQE", False, 3, images="luma of the prediction, 16 to 235, rounded to 8 bit",
        crop="what is beyond whole blocks of 96x96 pixels",
    ),
    "tof": Column(
        "tOF", False, 3, "px", images="grey, 0 to 255, both rounded to 8 bit",
        method="mean length of the difference of the flows into the frame from the one before it, of the predicted and "
        "of the true sequence; flow by OpenCV DIS (medium)",
    ),
    "flolpips_dis": Column(
        "FloLPIPS DIS", False, 4, images="RGB, -1 to 1, both rounded to 8 bit", backbone="alexnet",
        method="LPIPS version 0.1, each pixel weighted by the length of the difference of the flows from the frame to "
        "the one before it, of the predicted and of the true sequence; flow by OpenCV DIS (medium), not by PWC-Net as "
        "in published numbers",
    ),
    "vmaf": Column(
        "VMAF", True, 2, values="0 to 100", images="luma (BT.709), 16 to 235, 8 bit",
        method="model vmaf_v0.6.1 by ffmpeg's libvmaf, on the sequence of both inputs and the frames between",
    ),
}  # fmt: skip


def described(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a number of this column is: its direction, its range, the images, the backbone and the crop."""
    from losses.backbones import FILES  # torch, which a list of runs does without

    column = COLUMNS[name]
    images = column.images.replace("RGB", "luma (BT.601)") if options.get("luma") else column.images
    rounded = "; the prediction rounded to 8 bit" if options.get("rounded") and "rounded" not in images else ""
    found = {
        "direction": "higher is better" if column.higher_is_better else "lower is better",
        "range": f"{column.values} {column.unit}".strip(),
        "images": images + rounded,
        "backbone": f"{column.backbone} ({FILES[column.backbone]})" if column.backbone else "none",
        "crop": "3 pixels of each border" if options.get("variant") == "uniform" else column.crop,
    }
    if column.method or "variant" in options:
        found["method"] = column.method or f"variant {options['variant']}"
    return found


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a column without those at their defaults."""
    return {key: value for key, value in options.items() if value and (key, value) != ("variant", "3d")}


def option_text(options: Mapping[str, Any]) -> str:
    """The options of a column: "luma, rounded"."""
    return ", ".join(str(value) if key == "variant" else key for key, value in options.items() if value)
