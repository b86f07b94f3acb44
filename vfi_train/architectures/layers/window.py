"""Cutting a map into windows for attention: centred padding, cyclic shift, and who may look at whom."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Added to the logit of a pair that is kept apart. The published networks add -100, which leaves weights near exp(-100):
# denormal numbers, with which a CPU multiplies some sixty times as slowly as with others. Those of exp(-200) are zero.
# Either is below rounding where a row's logits differ by less than 80.
BLOCKED = -200.0


@dataclass(frozen=True)
class WindowGrid:
    """How a map of `height` x `width` is cut into windows of `window` x `window` tokens.

    The map is padded to multiples of the window with zeros, the odd one at the bottom and right, then rolled
    up and left by `shift`. N = window * window tokens make a window, nW windows make a map; both row-major.

    Source: EMA-VFI (Zhang et al., CVPR 2023) and ATM-VFI, after Swin (Liu et al., ICCV 2021, section 3.2).
    """

    height: int
    width: int
    window: int
    shift: int = 0

    def split(self, x: Tensor) -> Tensor:
        """B H W C to B*nW N C; the windows of one item lie together."""
        rows, columns, m = self._rows, self._columns, self.window
        if self._padded:
            x = F.pad(x, (0, 0, *self._padding(self.width), *self._padding(self.height)))
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2))
        x = x.reshape(x.shape[0], rows, m, columns, m, x.shape[-1]).transpose(2, 3)
        return x.reshape(-1, m * m, x.shape[-1])

    def join(self, windows: Tensor) -> Tensor:
        """B*nW N C back to B H W C: undoes `split`."""
        rows, columns, m = self._rows, self._columns, self.window
        x = windows.reshape(-1, rows, columns, m, m, windows.shape[-1]).transpose(2, 3)
        x = x.reshape(-1, rows * m, columns * m, windows.shape[-1])
        if self.shift:
            x = torch.roll(x, (self.shift, self.shift), dims=(1, 2))
        top, left = self._padding(self.height)[0], self._padding(self.width)[0]
        return x[:, top : top + self.height, left : left + self.width]

    def mask(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor | None:
        """What is added to the attention's logits, nW N N: 0, or `BLOCKED`; None where nothing is blocked.

        Two tokens are kept apart when the padding's edge lies between them, or the seam of the shift. The
        padding is looked for at its place before the shift though the tokens have moved: published weights
        were trained so.
        """
        if not self._padded and not self.shift:
            return None
        rows = self._bands(self.height, device)
        columns = self._bands(self.width, device)
        bands = 9 * rows[:, None] + columns  # one number per combination: of rows 9, of columns 9
        unpadded = WindowGrid(bands.shape[0], bands.shape[1], self.window)
        windows = unpadded.split(bands[None, :, :, None]).squeeze(-1)
        apart = windows[:, :, None] != windows[:, None, :]
        return torch.zeros(apart.shape, device=device, dtype=dtype).masked_fill_(apart, BLOCKED)

    @property
    def _rows(self) -> int:
        return -(-self.height // self.window)

    @property
    def _columns(self) -> int:
        return -(-self.width // self.window)

    @property
    def _padded(self) -> bool:
        return self.height % self.window > 0 or self.width % self.window > 0

    def _padding(self, size: int) -> tuple[int, int]:
        total = -size % self.window
        return total // 2, total - total // 2

    def _bands(self, size: int, device: torch.device) -> Tensor:
        """For each row of the padded map a number 0 to 8: three bands by padding, three by shift."""
        before, after = self._padding(size)
        padded = before + size + after
        place = torch.arange(padded, device=device)
        by_padding = (place >= before).int() + (place >= before + size).int()
        if not self.shift:
            return by_padding
        by_shift = (place >= padded - self.window).int() + (place >= padded - self.shift).int()
        return 3 * by_padding + by_shift
