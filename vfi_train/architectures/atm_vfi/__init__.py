"""ATM-VFI: exploiting attention-to-motion via transformer (ICASSP 2025)."""

from vfi_train.architectures.atm_vfi.any_time import ATMVFIr, ATMVFIt, atm_vfi_base_t, atm_vfi_lite_t
from vfi_train.architectures.atm_vfi.network import ATMVFI, atm_vfi_base, atm_vfi_lite

__all__ = ["ATMVFI", "ATMVFIr", "ATMVFIt", "atm_vfi_base", "atm_vfi_base_t", "atm_vfi_lite", "atm_vfi_lite_t"]
