"""EBME: published as two files, of motion and of fusion, whose names have no part in front."""

from vfi_train.weights.names import NameMap

_MOTION = ("feat_pyramid", "flow_estimator")
_FUSION = (
    *("contextnet", "down1", "down2", "down3", "down4"),
    *("up1", "up2", "up3", "up4", "refine_pred", "downsample_mask"),
)

NAMES: NameMap = [
    (f"{part}.{{rest}}", f"{ours}.{part}.{{rest}}")
    for ours, parts in (("motion", _MOTION), ("fusion", _FUSION))
    for part in parts
]

# Either file loads by itself (motion to start from, say); both lie in one folder.
PARTS = {"motion.*": "bi-flownet.pkl", "fusion.*": "fusionnet.pkl"}

LAYOUTS = (
    "two state dicts with `module.` prefix (`bi-flownet.pkl`, `fusionnet.pkl`): the folder, either file, or merged"
)
