"""RIFE: real-time intermediate flow estimation (Huang et al., ECCV 2022), and InterpAny-Clearer's."""

from vfi_train.architectures.registry import register_model
from vfi_train.architectures.rife.network import RIFE, RIFEd, RIFEdr, RIFEm

__all__ = [
    "RIFE",
    "RIFEd",
    "RIFEdr",
    "RIFEm",
    "rife",
    "rife_2r",
    "rife_d",
    "rife_dr",
    "rife_m",
    "rife_t",
    "rife_tr",
]


@register_model
def rife(**options: object) -> RIFE:
    """RIFE for the middle frame: 10,708,215 parameters, 10,071,550 without the teacher."""
    return RIFE(**options)  # type: ignore[arg-type]


@register_model
def rife_2r(**options: object) -> RIFE:
    """RIFE at twice the working resolution, with the same tensors as `rife`."""
    return RIFE(stride=1, **options)  # type: ignore[arg-type]


@register_model
def rife_m(**options: object) -> RIFEm:
    """RIFE at any time: 10,710,780 parameters, 10,073,710 without the teacher."""
    return RIFEm(**options)  # type: ignore[arg-type]


@register_model
def rife_t(**options: object) -> RIFEm:
    """InterpAny-Clearer's [T]: `rife_m` by the name of its training recipe."""
    return RIFEm(**options)  # type: ignore[arg-type]


@register_model
def rife_d(**options: object) -> RIFEd:
    """InterpAny-Clearer's [D]: the tensors of `rife_m`, a distance index map for the time."""
    return RIFEd(**options)  # type: ignore[arg-type]


@register_model
def rife_tr(**options: object) -> RIFEdr:
    """InterpAny-Clearer's [T,R]: the network of `rife_dr`, trained on uniform maps."""
    return RIFEdr(**options)  # type: ignore[arg-type]


@register_model
def rife_dr(**options: object) -> RIFEdr:
    """InterpAny-Clearer's [D,R]: 10,721,040 parameters, 10,082,350 without the teacher."""
    return RIFEdr(**options)  # type: ignore[arg-type]
