"""Vimeo90K triplets with distance maps, for InterpAny-Clearer's [D] recipes on triplets (Zhong et al., ECCV 2024)."""

from __future__ import annotations

from typing import Any

from datamodules.vimeo90k import COUNTS
from datamodules.vimeo_septuplet import VimeoSeptuplet
from vfi_train.errors import UserError


class Vimeo90KMaps(VimeoSeptuplet):
    """`VimeoSeptuplet` of clips of three frames: `tri_trainlist.txt`, `sequences/00001/0001/dis_index_0_1_2.npy` ...

    A training sample is the complete clip, played backwards with probability `reverse`, then with the map that is seen
    from im3.

    Args:
        root: the folder `vimeo_triplet`, with the maps that `prepare task=distance data=vimeo90k` makes.
        **data: see `VimeoSeptuplet`; there are no flow labels.
    """

    folder = "vimeo_triplet"
    origin = "vimeo_triplet.zip, http://toflow.csail.mit.edu"
    published = COUNTS
    unit = "triplets"
    frames = 3
    has_context = False

    def __init__(self, **data: Any) -> None:
        if data.get("flow"):
            raise UserError(
                "data.flow=true: these triplets have maps and no flow labels; give data=vimeo90k for labels"
            )
        super().__init__(**{"variant": "D", "val_targets": (1,), **data})
