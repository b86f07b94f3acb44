"""Raw planar YUV 4:2:0 files (I420, 8 bits), as the HD benchmark of RIFE and EMA-VFI has them.

Source: the HD benchmark scripts of RIFE (ECCV 2022) and EMA-VFI (CVPR 2023), which read alike but
may differ in the filter that enlarged the chroma planes; see `YUVFile`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vfi_train.errors import DataError, UserError

Chroma = Literal["bicubic", "nearest"]
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}
YUV_FROM_RGB = np.array(  # BT.601, with the digits of scikit-image
    [
        [0.299, 0.587, 0.114],
        [-0.14714119, -0.28886916, 0.43601035],
        [0.61497538, -0.51496512, -0.10001026],
    ]
)


class YUVFile:
    """The frames of a file as RGB images H W 3, uint8: `file[0]`, `len(file)`, `for frame in file`.

    Args:
        path: a file of frames, each its Y plane, then U and V of half the height and width.
        height: of a frame, even; the file itself does not say.
        width: of a frame, even.
        chroma: how U and V are enlarged. The scripts use Pillow's default filter: "bicubic" since Pillow 7,
            "nearest" before; an older copy of RIFE's names "nearest". Which one the published numbers come from
            is not stated.

    Raises:
        DataError: the file cannot be read, or is not a number of complete frames.
        UserError: an odd or empty size, or an unknown filter.
    """

    def __init__(self, path: str | Path, height: int, width: int, chroma: Chroma = "bicubic") -> None:
        if height < 2 or width < 2 or height % 2 or width % 2:
            raise UserError(f"a frame in YUV 4:2:0 has an even height and width; got {height}x{width}")
        if chroma not in FILTERS:
            raise UserError(f"chroma is enlarged by one of {', '.join(FILTERS)}; got {chroma!r}")
        self.path, self.height, self.width, self.chroma = Path(path), height, width, chroma
        self._bytes = height * width * 3 // 2  # of a frame
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        self._frames, rest = divmod(size, self._bytes)
        if rest or not size:
            raise DataError(
                f"{path} has {size:,} bytes, which is not a number of complete {height}x{width} frames of "
                f"{self._bytes:,} bytes: it was cut short, or its frames have another size; fetch it again"
            )

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if not 0 <= index < self._frames:
            raise IndexError(f"{self.path} has the frames 0 to {self._frames - 1}; got {index}")
        content = np.fromfile(self.path, np.uint8, self._bytes, offset=index * self._bytes)
        return to_rgb(content, self.height, self.width, self.chroma)


def to_rgb(content: NDArray[np.uint8], height: int, width: int, chroma: Chroma = "bicubic") -> NDArray[np.uint8]:
    """The RGB image H W 3, uint8, of one frame's bytes; values are clipped to [0, 1] and truncated to 8 bits."""
    luma, rest = np.split(content, [height * width])
    planes = [luma.reshape(height, width)]
    for plane in rest.reshape(2, height // 2, width // 2):
        planes.append(np.asarray(Image.fromarray(plane).resize((width, height), FILTERS[chroma])))
    yuv = np.stack(planes, axis=2) / 255 - (0, 0.5, 0.5)
    rgb = yuv @ np.linalg.inv(YUV_FROM_RGB).T
    return (rgb.clip(0, 1) * 255).astype(np.uint8)
