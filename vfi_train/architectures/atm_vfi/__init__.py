"""ATM-VFI: exploiting attention-to-motion via transformer (ICASSP 2025)."""

from vfi_train.architectures.atm_vfi.network import ATMVFI, atm_vfi_base, atm_vfi_lite

__all__ = ["ATMVFI", "atm_vfi_base", "atm_vfi_lite"]
