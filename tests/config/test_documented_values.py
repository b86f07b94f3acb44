"""Every value that a comment of a configuration file names is accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import conf
from tests.helpers.commands import plan_of
from tests.helpers.marks import some_slow
from vfi_train.app.command import Settings as AppSettings
from vfi_train.config.compose import compose_config
from vfi_train.config.overrides import check_values, hydra_arguments, parse
from vfi_train.config.read_settings import read_settings
from vfi_train.config.targets import check_arguments
from vfi_train.evaluate.options import PlainOptions
from vfi_train.evaluate.protocol import Protocol, resolve
from vfi_train.export.command import Settings as ExportSettings
from vfi_train.interpolate.job import Settings as InterpolateSettings
from vfi_train.prepare.download import download
from vfi_train.prepare.pack import pack
from vfi_train.prepare.triplets import make_triplets
from vfi_train.prepare.verify import find_issues
from vfi_train.profile.command import Settings as ProfileSettings

ROOT = Path(conf.__file__).parent
SETTINGS = {
    "interpolate": (InterpolateSettings, ("model=ifrnet_tiny", "weights=w", "input=a.mp4", "output=b.mp4")),
    "evaluate": (PlainOptions, ()),
    "profile": (ProfileSettings, ()),
    "export": (ExportSettings, ("model=ifrnet_tiny", "weights=w", "output=b.pth")),
    "app": (AppSettings, ()),
}
# What comments and pages list otherwise than as "VALUE: what it means".
LISTED = {
    "train": [
        "weights=ifrnet_tiny_synthetic", "resume=never", "resume=force", "train=[global_*]", "train=*",
        "freeze=['*.bias']",
        "module.channels_last=true", "module.channels_last=false", "module.compile=none", "module.compile=network",
        "module.compile=losses", "module.compile=both", "module.compile=cuda_graphs",
        "trainer.gradient_clip_algorithm=value", "trainer.devices=auto",
        "trainer.devices=-1", "trainer.devices=[0,1]", "trainer.devices='0,1'", "trainer.accelerator=cpu",
        "trainer.precision=bf16-mixed", "trainer.precision=16-mixed", "data.times=uniform", "data.times=[0.25,0.5]",
        "data.size=[32,48]", "data.on_error=skip",
        "callbacks.metrics.names=[psnr_rounded,psnr_luma,ssim2d,ssim_uniform,ie]",
        "callbacks.artifacts.files=[best.ckpt]", "logger.wandb.mode=online", "logger.wandb.mode=offline",
        "callbacks=ema", "callbacks.swa.start_step=75 callbacks=swa",
        "logger=tensorboard", "schedule=constant", "experiment=null",
        "curriculum=null", "debug=overfit", "debug=profile",
        "parameter_groups=[{match: ['*.bias'], lr_factor: 0.1, weight_decay: 0}]",
        "published={psnr: 35.5, milestones: [{step: 1, psnr: [30, 31]}]}", "trainer.max_steps=${epochs:2}",
    ],
    "interpolate": [
        "rate=60", "rate=59.94", "rate=60000/1001", "times=[0.5]", "times=[0.25,0.5,0.75]", "insert=[1,1,1]",
        "speed=0.5", "speed=1/2", "precision=bf16", "tile=[256,512]", "codec=ffv1", "quality=18",
        "encoder_options={preset: slow}",
        "compare=beside", "compare=below", "frames=tif", "tta=flip_hw", "tta=flip_h", "tta=true", "input=[a.png,b.png]",
    ],
    "evaluate": [
        "metrics=[psnr,ssim,ie,lpips_alex,lpips_vgg,lpips_squeeze,dists,niqe,tof,flolpips_dis,vmaf]",
        "metrics=psnr", "devices=2", "samples=10", "compare=[a,b]", "compare=a",
    ],
    "profile": ["modes=[eager,channels_last+bf16]", "sizes=[256x256,720x1280]", "output=table"],
    "export": ["format=safetensors", "format=onnx", "format=torch_export", "format=aotinductor", "size=720x1280"],
    "app": ["host=0.0.0.0", "device=cuda"],
}  # fmt: skip
COMMENTED = re.compile(r"(?:^|[;,.(] *|# )(null|auto|true|false|raise|skip)(?: or \w+)?: ")


def commented(path: Path) -> list[str]:
    """KEY=VALUE for each `VALUE: what it means` in the comments of a file, with dots in the keys of blocks."""
    found: list[str] = []
    keys: dict[int, str] = {}
    for line in path.read_text().splitlines():
        key = re.match(r"( *)([a-z]\w*):", line)
        if key is None:
            continue
        keys = {depth: name for depth, name in keys.items() if depth < len(key[1])} | {len(key[1]): key[2]}
        comment = line.partition(" #")[2]
        found += [f"{'.'.join(keys.values())}={value}" for value in COMMENTED.findall(f"# {comment.strip()}")]
    return found


GROUPS = [
    *((f"data={path.stem}", f"data.{given}") for path in sorted((ROOT / "data").glob("*.yaml"))
      for given in commented(path) if path.stem not in ("base", "joint")),
    *(("callbacks=default", f"callbacks.{given}") for given in commented(ROOT / "callbacks" / "default.yaml")),
    *(("logger=default", f"logger.{given}") for given in commented(ROOT / "logger" / "default.yaml")),
    *(("trainer=default", f"trainer.{given}") for given in commented(ROOT / "trainer" / "default.yaml")),
    *(("schedule=warmup_cosine", f"schedule.{given}") for given in commented(ROOT / "schedule" / "warmup_cosine.yaml")),
    *(("data=synthetic", f"data.{given}") for given in commented(ROOT / "data" / "base.yaml")),
]  # fmt: skip
TRAIN = [
    *some_slow([(words.split() if "callbacks=swa" in words else [words],) for words in LISTED["train"]]),
    *((given,) for given in commented(ROOT / "train.yaml")),
    *(pytest.param(words, marks=pytest.mark.slow) for words in GROUPS),
]
OTHERS = [
    (program, given) for program in SETTINGS for given in [*commented(ROOT / f"{program}.yaml"), *LISTED[program]]
]


@pytest.mark.parametrize("words", TRAIN, ids=" ".join)
def test_a_training_takes_it(words: Sequence[str]) -> None:
    config = plan_of(*words).config
    key, _, value = words[-1].partition("=")
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    if isinstance(config, (bool, int, float, str)) and "${" not in value:  # no group
        given = parse([f"x={value}"])[0].value()
        assert config == given or str(config) == str(given)


@pytest.mark.parametrize(("program", "given"), some_slow(OTHERS))
def test_the_other_programs_take_it(program: str, given: str) -> None:
    kind, needed = SETTINGS[program]
    overrides = hydra_arguments([*needed, given])
    config = compose_config(program, overrides)
    check_values(config, overrides, program)
    read_settings(kind, config)
    if given.startswith("override."):
        change = {str(key): value for key, value in config.override.items()}
        resolve(Protocol("common", (), {}, {"*": {}}, {}), "synthetic", "val", "ifrnet_tiny", change)


TASKS = {"verify": find_issues, "pack": pack, "triplets": make_triplets, "download": download}


@pytest.mark.parametrize(
    "given",
    [given for given in commented(ROOT / "prepare.yaml") if given.partition(".")[0] in TASKS]
    + ["verify.size=[32,48]", "triplets.frames=7", "pack.shard=0.5", "pack.name=flow-1.0"],
)
def test_preparing_takes_it(given: str) -> None:
    overrides = hydra_arguments([given])
    config = compose_config("prepare", overrides)
    check_values(config, overrides, "prepare")
    block = given.partition(".")[0]
    check_arguments(block, TASKS[block], config[block])


def test_the_comments_are_found() -> None:
    assert {"backbones=null", "steps_per_epoch=null", "resume=auto"} <= set(commented(ROOT / "train.yaml"))
    assert "nan_guard.keep=null" not in commented(ROOT / "callbacks" / "default.yaml")
    assert {"scale=auto", "tile=null", "tile=auto", "quality=null"} <= set(commented(ROOT / "interpolate.yaml"))
