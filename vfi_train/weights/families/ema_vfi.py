"""EMA-VFI: our names are the published ones; window masks that its blocks had stored are computed."""

DROPPED = ["*.attn_mask", "*.HW"]

LAYOUTS = (
    "state dict with `module.` prefix (`ours.pkl`, `ours_small.pkl`, `ours_t.pkl`, InterpAny-Clearer's `ema-vfi.pkl`, "
    "...), window masks dropped"
)
