"""InterpAny-Clearer's AMT (Zhong et al., ECCV 2024): time as a map, and a reference frame beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vfi_train.architectures.amt.network import AMT, AMTEncoding, Moment, Size
from vfi_train.architectures.layers.reference import known_reference
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.warp import resize


class AMTd(AMT):
    """AMT with a distance index map: 0 = still at frame 0, 1 = arrived at frame 1. Options as `AMT`.

    Where the map is 0 or 1, the guard moves a lookup by a million times the flow: outside, where all is zero.
    """

    takes_time_map = True
    time_guard = 1e-6

    def moment(self, e: AMTEncoding, time: Tensor, reference: Tensor | None, reference_time: Tensor | None) -> Moment:
        """The map at 1/16 for decoder 4 and, from the full-size map again, at 1/8 for the lookup."""
        coarse, lookup = e.features[3].shape[-2:], e.correlation.grid.shape[-2:]
        return Moment(time_plane(time, coarse), time_plane(time, lookup))


@dataclass
class ReferenceMoment(Moment):
    """The target time and what is known of the reference."""

    time: Tensor  # B 1 1 1 or B 1 H W
    features: list[Tensor]  # of the reference, half size first


class AMTdr(AMTd):
    """AMT that starts from a reference frame with a known distance map; without one, from frame 0 at map 0.

    Decoder 4 reads the reference's features at 1/16, unwarped, and its map; the lookup uses only the target map.

    Args:
        size, fields, levels, radius: see `AMT`.
        extra_inputs: channels that decoders 3, 2, 1 are given beside features and flows.
    """

    takes_reference = True

    def __init__(
        self,
        size: Size,
        fields: int,
        levels: int = 4,
        radius: int = 3,
        extra_inputs: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        super().__init__(size, fields, levels, radius, (size.widths[3] + 2, *extra_inputs))

    def moment(self, e: AMTEncoding, time: Tensor, reference: Tensor | None, reference_time: Tensor | None) -> Moment:
        """See `AMTd.moment`. The mean of only the two frames is subtracted from the reference."""
        image, known = known_reference(e.frame0, time, reference, reference_time)
        target = super().moment(e, time, None, None)
        features = self.encoder(resize(image - e.mean, e.scale))
        planes = (features[3], target.coarse, time_plane(known, target.coarse.shape[-2:]))
        return ReferenceMoment(torch.cat(planes, dim=1), target.lookup_time, time, features)


class AMTdrV0(AMTdr):
    """An experiment of InterpAny-Clearer's: every decoder reads the reference's features of its level."""

    def __init__(self, size: Size, fields: int, levels: int = 4, radius: int = 3) -> None:
        c1, c2, c3, _ = size.widths
        super().__init__(size, fields, levels, radius, extra_inputs=(c3, c2, c1))

    def level_input(self, level: int, e: AMTEncoding, moment: Moment, flow: Tensor, feature: Tensor) -> Tensor:
        """See `AMT.level_input`; the reference comes before the flows."""
        assert isinstance(moment, ReferenceMoment)
        x = super().level_input(level, e, moment, flow, feature)
        return torch.cat((x[:, :-4], moment.features[level - 1].to(x.dtype), x[:, -4:]), dim=1)


class AMTdrV2(AMTdr):
    """An experiment of InterpAny-Clearer's: every decoder reads the target map at its size."""

    def __init__(self, size: Size, fields: int, levels: int = 4, radius: int = 3) -> None:
        super().__init__(size, fields, levels, radius, extra_inputs=(1, 1, 1))

    def level_input(self, level: int, e: AMTEncoding, moment: Moment, flow: Tensor, feature: Tensor) -> Tensor:
        """See `AMT.level_input`; the map comes last."""
        assert isinstance(moment, ReferenceMoment)
        x = super().level_input(level, e, moment, flow, feature)
        return torch.cat((x, time_plane(moment.time, x.shape[-2:]).to(x.dtype)), dim=1)
