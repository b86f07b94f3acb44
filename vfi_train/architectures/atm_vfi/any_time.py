"""ATM-VFI at any time, by distance maps and from a reference frame: ours, after EMA-VFI and InterpAny-Clearer."""

from __future__ import annotations

from torch import Tensor

from vfi_train.architectures.atm_vfi.network import ATMVFI, BASE, LITE
from vfi_train.architectures.base import Encoding
from vfi_train.architectures.layers.reference import frames_beside_reference
from vfi_train.architectures.registry import register_model
from vfi_train.contract import Prediction


@register_model
def atm_vfi_base_t(
    global_motion: bool = True,
    ensemble_global_motion: bool = False,
    local_window: int = 8,
    global_window: int = 12,
    reference: bool = False,
) -> ATMVFIt:
    """Ours: ATM-VFI base at any time, with the tensors of `atm_vfi_base`.

    Args:
        global_motion, ensemble_global_motion, local_window, global_window: see `ATMVFI`.
        reference: start from a reference frame too (`ATMVFIr`); an option of both sizes.
    """
    return (ATMVFIr if reference else ATMVFIt)(
        **BASE,
        global_motion=global_motion,
        ensemble_global_motion=ensemble_global_motion,
        local_window=local_window,
        global_window=global_window,
    )


@register_model
def atm_vfi_lite_t(
    global_motion: bool = True,
    ensemble_global_motion: bool = False,
    local_window: int = 8,
    global_window: int = 12,
    reference: bool = False,
) -> ATMVFIt:
    """Ours: ATM-VFI lite at any time, with the tensors of `atm_vfi_lite`. Options as `atm_vfi_base_t`."""
    return (ATMVFIr if reference else ATMVFIt)(
        **LITE,
        global_motion=global_motion,
        ensemble_global_motion=ensemble_global_motion,
        local_window=local_window,
        global_window=global_window,
    )


class ATMVFIt(ATMVFI):
    """ATM-VFI at any time, a number or a distance index map: the motion of each frame is weighted by it.

    Half way it is ATM-VFI to the bit, so that published weights are a start for it. Options as `ATMVFI`.
    """

    arbitrary_time = True
    takes_time_map = True

    def motion_time(self, time: Tensor) -> Tensor | None:
        """See `ATMVFI.motion_time`."""
        return time


class ATMVFIr(ATMVFIt):
    """ATM-VFI that starts from a reference frame with a known distance map; without one, from frame 0 at map 0.

    The reference goes through the pyramid beside each frame, so that nothing but the frames is shared by all times.
    Options as `ATMVFI`.

    Source: iterative reference-based estimation of InterpAny-Clearer (Zhong et al., ECCV 2024), as its EMA-VFI has it.
    """

    takes_reference = True
    in_channels = 7

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:  # type: ignore[override]
        """Both frames; their features wait for the reference."""
        return Encoding(frame0, frame1, scale)

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time` from `reference` (B 3 H W) at `reference_time` (B 1 1 1 or B 1 H W)."""
        e = encoding
        inputs = frames_beside_reference(e.frame0, e.frame1, time, reference, reference_time)
        return super().decode(self.encode_inputs(e.frame0, e.frame1, inputs, e.scale), time)
