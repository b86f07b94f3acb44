"""`task=weights`: the published weights that metrics, losses and flow labels need, to where they look for them."""

from __future__ import annotations

from omegaconf import DictConfig

from losses.backbones import FILES, SOURCE, backbone_folder
from vfi_train.errors import UserError, nearest
from vfi_train.prepare.dataset import output_folder
from vfi_train.prepare.download import asked, mirrored, state
from vfi_train.prepare.estimators import RAFT_FILE
from vfi_train.prepare.fetch import fetch

WEIGHTS = {**FILES, "raft": RAFT_FILE}  # as in torchvision, a name ends with the beginning of the file's SHA-256
ABOUT = {"alexnet": "244 MB", "vgg16": "553 MB", "vgg19": "575 MB", "squeezenet1_1": "5 MB", "raft": "21 MB"}
GROUPS = {"lpips": ("alexnet", "vgg16", "squeezenet1_1"), "vgg": ("vgg16", "vgg19")}
TERMS = "BSD 3-Clause as torchvision's; trained on ImageNet, or for raft on FlyingChairs and FlyingThings3D"


def weights(config: DictConfig) -> None:
    """Fetch `config.what` to `config.output`; see conf/prepare.yaml.

    Raises:
        UserError: there are no such weights, or they cannot be fetched.
    """
    wanted = list(dict.fromkeys(name for one in asked(config) or WEIGHTS for name in GROUPS.get(one, (one,))))
    for name in wanted:
        if name not in WEIGHTS:
            raise UserError(f"what={name} is not known: {nearest(name, [*WEIGHTS, *GROUPS])}")
    folder = output_folder(config, backbone_folder())
    for name in wanted:
        file = WEIGHTS[name]
        url = mirrored(SOURCE + file, config.download.mirror)
        path = folder / file
        if not path.is_file():
            state(name, f"weights {file}", TERMS, [url], ABOUT[name])
        new = fetch(url, path, file.removesuffix(".pth").rpartition("-")[2])
        print(f"{path}: {'fetched' if new else 'is there, and whole'}", flush=True)
