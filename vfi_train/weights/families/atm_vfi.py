"""ATM-VFI: the global branch and the residual's U-Net have prefixes of their own, for phases to name them."""

from vfi_train.weights.names import NameMap

_MODULES = {
    "feat_extracts": "encoder",
    "cross_scale_feature_fusion": "local_estimator.fusion",
    "local_motion_atmformer": "local_estimator.attention",
    "local_motion_mlp": "local_estimator.head",
    "feat_enhance_transformer": "enhancement",
    "upsample_pyramid": "decoder",
    "last_feat_extract": "global_encoder",
    "global_feature_fusion": "global_estimator.fusion",
    "global_motion_atmformer": "global_estimator.attention",
    "global_motion_mlp": "global_estimator.head",
    "refine_head": "refinement.head",
    **{part: f"refinement.{part}" for part in ("proj", "down1", "down2", "down3", "up1", "up2", "up3")},
}
# Names in the first training runs; published checkpoints have those above.
_EARLY_MODULES = {
    "local_motion_transformer": "local_estimator.attention",
    "global_motion_transformer": "global_estimator.attention",
    "upsamples": "decoder",
}

NAMES: NameMap = [
    (f"{published}.{{rest}}", f"{ours}.{{rest}}") for published, ours in (*_MODULES.items(), *_EARLY_MODULES.items())
]

# Coordinate tables and masks of the last frame size, which are computed.
DROPPED = ["*relative_coord*", "*attn_mask*", "*HW*"]

LAYOUTS = "`model_state_dict` in a dict or bare, masks and coordinate tables dropped, names of early runs too"
