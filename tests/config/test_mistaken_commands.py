"""Mistaken commands of all programs: one sentence, nothing left behind, and the corrected command is accepted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import exit_status, files_below, plan_of
from tests.helpers.layouts import fabricate
from tests.helpers.videos import pan, write_video
from vfi_train.app.command import Settings as PageSettings
from vfi_train.config.compose import compose_config
from vfi_train.config.overrides import check_values, hydra_arguments
from vfi_train.config.read_settings import read_settings

Row = tuple[str, str, str]  # the mistake, (the begin of) what is said about it, the correction
FAST, SLOW = 1, 8  # rows of each program's table that fast and slow tests have; `make test-long` has the others

LONG = "a" * 300  # longer than file systems take

QUICK = ("experiment=quickstart", "debug=smoke", "data.num_workers=0", "logger=csv", "report=false")
TRAIN: list[Row] = [
    ("validate_every=0", "validate_every=0 is not an integer from 1", "validate_every=1"),
    ("trainer.max_steps=-1", "trainer.max_steps=-1 is not an integer from 1", "trainer.max_steps=1"),
    ("optimizer.betas=[0.9]", "optimizer.betas=[0.9] is not a list of 2", "optimizer.betas=[0.9,0.99]"),
    ("loss.terms.census.weight=-1", "loss.terms.census.weight=-1 is not a number of 0 or",
     "loss.terms.census.weight=0"),
    ("validate_every=-1", "validate_every=-1 is not", "validate_every=4"),
    ("validate_every=null", "validate_every=null is not", "validate_every=2"),
    ("checkpoint_every=0", "checkpoint_every=0 is not", "checkpoint_every=2"),
    ("log_every=-1", "log_every=-1 is not an integer of 0 or more", "log_every=0"),
    ("steps_per_epoch=0", "steps_per_epoch=0 is not an integer of 1 or more", "steps_per_epoch=null"),
    ("seed=-5", "seed=-5 is not an integer from 0 to 4294967295", "seed=5"),
    ("seed=abc", "seed=abc is not an integer", "seed=1e3"),
    ("seed=${oc.env:NO_SUCH_ID}", "seed=${oc.env:NO_SUCH_ID}: the environment variable NO_SUCH_ID is",
     "seed=${oc.env:ID}"),
    ("runs=null", "runs=null is not text", "runs=other"),
    ("runs=", "runs= is not text", "runs=2024"),
    ("name=", "name= is not text", "name=7"),
    ("weights=[a,b]", "weights=[a,b] is not text", "weights=ifrnet_tiny_synthetic"),
    ("sweep=3", "sweep=3 is not a list", "sweep=[seed]"),
    ("roots=3", "roots=3 is not a block of keys", "roots={}"),
    ("published=3", "published=3 is not a block of keys", "published={psnr: 30}"),
    ("parameter_groups=3", "parameter_groups=3 is not a list", "parameter_groups=[]"),
    ("parameter_groups=[{match: ['*'], lr_factor: -1}]",
     "parameter_groups[0].lr_factor=-1 is not a number of 0 or more",
     "parameter_groups=[{match: '*', lr_factor: 0.5}]"),
    ("parameter_groups=[{match: ['*'], factor: 1}]", "there is no key 'factor' in parameter_groups[0]: did you mean",
     "parameter_groups=[{match: ['*'], weight_decay: 0}]"),
    ("freeze=3", "freeze=3 is not text or a list", "freeze=encoder.*"),
    ("trainer.max_steps=0", "trainer.max_steps=0 is not", "trainer.max_steps=2"),
    ("trainer.max_steps=1e30", "trainer.max_steps=1e+30 is not", "trainer.max_steps=1e3"),
    ("trainer.precision=64-true", "trainer.precision=64-true is not one of 32-true", "trainer.precision=bf16-mixed"),
    ("trainer.devices=0", "trainer.devices=0 is not an integer of 1 or more, -1 for all", "trainer.devices=auto"),
    ("trainer.num_nodes=0", "trainer.num_nodes=0 is not an integer of 1 or more", "trainer.num_nodes=1"),
    ("data.batch_size=0", "data.batch_size=0 is not an integer of 1 or more", "data.batch_size=4"),
    ("data.val_batch_size=0", "data.val_batch_size=0 is not an integer of 1 or more, or null",
     "data.val_batch_size=null"),
    ("data.num_workers=-1", "data.num_workers=-1 is not an integer from 0 to 512", "data.num_workers=2"),
    ("data.num_workers=5000", "data.num_workers=5000 is not an integer from 0 to 512", "data.num_workers=0"),
    ("data.train_samples=-5", "data.train_samples=-5 is not an integer from 1", "data.train_samples=64"),
    ("data.train_samples=1e12", "data.train_samples=1000000000000 is not an integer from 1",
     "data.train_samples=1e4"),
    ("data.val_samples=0", "data.val_samples=0 is not an integer from 1", "data.val_samples=1"),
    ("data.times=2", "data: data.times=2 is not a number from 0 to 1", "data.times=uniform"),
    ("data.times=sometimes", "data.times=sometimes is not a number", "data.times=[0.25,0.75]"),
    ("data.size=[32]", "data.size=[32] is not an integer or a list of 2", "data.size=[32,48]"),
    ("data.background_motion=-1", "data.background_motion=-1 is not a number of 0 or", "data.background_motion=0"),
    ("data.overfit=-1", "data.overfit=-1 is not an integer of 1 or more", "data.overfit=8"),
    ("data.seed=-1", "data.seed=-1 is not an integer from 0", "data.seed=1"),
    ("data.on_error=maybe", "data.on_error=maybe is not one of raise, skip", "data.on_error=skip"),
    ("data.max_errors=-1", "data.max_errors=-1 is not an integer of 0 or more", "data.max_errors=0"),
    ("schedule.warmup_steps=-3", "schedule.warmup_steps=-3 is not an integer of 0 or more", "schedule.warmup_steps=3"),
    ("schedule.floor=-1", "schedule.floor=-1 is not a number of 0 or more", "schedule.floor=0"),
    ("optimizer.lr=fast", "optimizer.lr=fast is not a number", "optimizer.lr=1e-4"),
    ("loss.terms.census.patch=4", "loss.terms.census.patch=4 is not an integer of 1 or more that is odd",
     "loss.terms.census.patch=5"),
    ("loss.terms.census.patch=-3", "loss.terms.census.patch=-3 is not", "loss.terms.census.patch=3"),
    ("callbacks.progress.every_seconds=-1", "callbacks.progress.every_seconds=-1 is not",
     "callbacks.progress.every_seconds=1"),
    ("callbacks.metrics.names=psnr", "callbacks.metrics.names=psnr is not a list", "callbacks.metrics.names=[psnr]"),
    ("data=null", "data is ", "data=synthetic"),
    ("optimizer=null", "optimizer is ", "optimizer=adamw"),
    ("logger=null", "logger is missing, and a training needs it: give logger=NAME", "experiment=null"),
    ("optimizer.lr=nan", "optimizer: torch.optim.AdamW(", "optimizer.lr=0"),
    ("optimizer.lr=inf", "optimizer.lr=inf is not a number of 0 or more", "optimizer.lr=1e-4"),
    ("optimizer.betas=[0.9,1.5]", "optimizer: torch.optim.AdamW(", "optimizer.betas=[0.9,1]"),
    ("name=${nothing}", "name: Interpolation key 'nothing' not found", "name=x"),
    ("optimizer_state=nothing", "optimizer_state=nothing is no file", "optimizer_state=null"),
    ("trainer.profiler=foo", "trainer: lightning does not accept an option", "trainer.profiler=simple"),
    ("module=null", "module is missing", "module.compile=losses"),
    ("--seed=3", "--seed=3 is no option: keys are given as KEY=VALUE", "seed=3"),
    ("published={foo: 3}", "there is no key 'foo' in published", "published={psnr: 40}"),
    ("trainer.max_steps=${epochs:abc}", "trainer.max_steps: ${epochs:abc} is not a number of epochs",
     "trainer.max_steps=${epochs:0.5}"),
    ("validate_every=${epochs:-1}", "validate_every: ${epochs:-1} is not a number of epochs",
     "validate_every=${epochs:1}"),
    ("validate_every=${epochs:0.0001}", "validate_every=0 is not an integer from 1", "validate_every=${epochs:0.01}"),
    ("seed=${oc.decode:[}", "Error merging override seed=${oc.decode:[}: ", "seed=${oc.decode:'3'}"),
    ("trainer.max_time=0", "trainer.max_time=0 is not text DD:HH:MM:SS above 0", "trainer.max_time=00:00:01:00"),
    ("trainer.max_time=00:00:00:00", "trainer.max_time=00:00:00:00 is not text DD:HH", "trainer.max_time=null"),
    ("trainer.gradient_clip_val=nan", "trainer.gradient_clip_val=nan is not a norm", "trainer.gradient_clip_val=1"),
    ("+trainer.max_epochs=3", "trainer.max_epochs is set by the program: give trainer.max_steps=${epochs:N}",
     "trainer.max_steps=${epochs:3}"),
    ("+trainer.fast_dev_run=true", "trainer.fast_dev_run is set by the program: give debug=smoke", "debug=smoke"),
    ("optimizer.weight_decay=inf", "optimizer.weight_decay=inf is not a number of 0 or", "optimizer.weight_decay=0.1"),
    ("optimizer=sgd optimizer.momentum=2", "optimizer.momentum=2 is not a number from 0 to 1",
     "optimizer=sgd optimizer.momentum=1"),
    ("optimizer=muon optimizer.betas=[2,2]", "optimizer.betas=[2, 2] is not a number from 0 to 1", "optimizer=muon"),
    ("optimizer=lion optimizer.weight_decay=-1", "optimizer.weight_decay=-1 is not a number of 0", "optimizer=lion"),
    ("schedule.floor=inf", "schedule.floor=inf is not a number of 0 or more", "schedule.floor=1e-6"),
    ("+schedule.first_step=-5", "schedule.first_step=-5 is not an integer of 0", "+schedule.first_step=1"),
    ("loss.terms.census=3", "loss.terms.census=3 is not a block", "loss.terms.census=null"),
    ("loss.terms.census.weight=inf", "loss.terms.census.weight=inf is not", "loss.terms.census.weight=2"),
    ("callbacks.best=3", "callbacks.best=3 is not a block", "callbacks.best=null"),
    ("callbacks.best.save_top_k=2", "callbacks.best.save_top_k=2: one checkpoint", "callbacks.best.save_top_k=1"),
    ("callbacks.best.dirpath=/", "dirpath=/: checkpoints are looked for in the run's own", "callbacks.best.mode=max"),
    ("callbacks.artifacts.files=[../../x]", "callbacks.artifacts: files=../../x is no file name in the run",
     "callbacks.artifacts.files=[best.ckpt]"),
    ("model=3", "there is no model=3: known: amt_g", "model=ifrnet_tiny"),
    ("model._target_=", "model._target_= names no class", "model=ifrnet_s"),
    ("+foo=3", "there is no key 'foo' in the configuration: did you mean", "+foo=64 data.size=${foo}"),
    ("+callbacks.x={_target_: os.getcwd}", "callbacks.x._target_=os.getcwd makes a str", "+callbacks.x=null"),
    ("+loss.terms.x={_target_: losses.charbonnier.L1, weight: [1]}", "loss.terms.x: weight=[1] is neither a number",
     "+loss.terms.x={_target_: losses.charbonnier.L1, weight: 1}"),
    ("optimizer._partial_=false", "optimizer._partial_ is not true", "optimizer=adam"),
    ("data=video data.root=in.mp4 data.transforms=[3]", "data.transforms=[3] is not a list", "data=synthetic"),
    ("data=joint data.datasets=3", "data.datasets.*=3 is not a block with a _target_", "data=synthetic"),
    ("trainer.accelerator=tpu", "trainer: lightning does not accept an option", "trainer.accelerator=cpu"),
    (f"name={LONG}", f"name={LONG} is not text with a letter or digit, 200 bytes at most", "name=a/b"),
    (f"runs=new/{LONG}", f"runs: the folder new/{LONG}/", "runs=new/folder"),
    ("runs=new/folder data.batch_size=5000", "the training set has 4096 samples", "runs=new/folder"),
    ("weights=pipe", "weights=pipe is a pipe: give a file", "weights=null"),
    ("data.size=1e9", "data: data.size=1000000000 is not 16 to 8192 pixels", "data.size=6.4e1"),
]  # fmt: skip

VIDEO = ("model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "input=in.mp4", "output=out.mp4")
INTERPOLATE: list[Row] = [
    ("factor=2.5", "factor=2.5 is not an integer", "factor=2.0"),
    ("rate=1e9", "rate=1000000000 is not a number of frames per second: give one above 0", "rate=30"),
    ("encoder_options={presett: slow}", "encoder_options: libx264 has no option presett",
     "encoder_options={preset: fast}"),
    ("output=.", "output=. is a folder that holds files: give a file such as out.mp4", "output=frames"),
    ("factor=abc", "factor=abc is not an integer", "factor=1"),
    ("factor=1e6", "factor=1000000 is not a number of frames for each input frame: give 1 to 1000", "factor=4"),
    ("insert=[1000000]", "insert=[1000000] is not a number of frames for each", "insert=1"),
    ("insert=abc", "insert=abc is not an integer or a list", "insert=[1,1]"),
    ("output_rate=0", "output_rate=0 is not a number of frames per second", "output_rate=30"),
    ("output_rate=-24", "output_rate=-24 is not a number of frames per second", "output_rate=24000/1001"),
    ("quality=900", "quality=900 is not a number from 0 to 63", "quality=20"),
    ("quality=-1", "quality=-1 is not a number from 0 to 63", "quality=null"),
    ("cut_threshold=-1", "cut_threshold=-1 is not a number of 0 or more", "cut_threshold=null"),
    ("static_threshold=-1", "static_threshold=-1 is not a number of 0 or more", "static_threshold=0"),
    ("encoder_options=3", "encoder_options=3 is not a block of keys", "encoder_options={}"),
    ("recursion_depth=0", "recursion_depth=0 is not an integer from 1 to 16", "recursion_depth=1"),
    ("recursive=maybe", "recursive=maybe is not true or false, or auto", "recursive=true"),
    ("tta=maybe", "tta=maybe is not true or false, or one of flip_hw, flip_h", "tta=flip_h"),
    ("scale=1e9", "scale=1000000000.0 is not a factor above 0 and up to 16", "scale=0.5"),
    ("speed=1e9", "speed=1000000000 is not a speed from 1/1000 to 1000", "speed=1/2"),
    ("memory=-1", "memory=-1 is not a number above 0", "memory=2"),
    ("tile_overlap=-1", "tile_overlap=-1 is not an integer of 0 or more", "tile_overlap=32"),
    ("weights=[a,b]", "weights=[a,b] is not text", "weights=ifrnet_tiny_synthetic"),
    ("output=", "output= is not text", "output=2024"),
    ("runs=null", "runs=null is not text", "runs=."),
    ("model=null", "model is left out, and is needed: give model=NAME", "model=ifrnet_tiny"),
    ("-x", "-x is no option: keys are given as KEY=VALUE", "factor=1"),
    ("input=/dev/null", "input=/dev/null is a device: give a file, or - to read y4m", "input=in.mp4"),
    ("input=pipe", "input=pipe is a pipe: give a file, or - to read y4m", ""),
    ("input=[pipe,in.mp4]", "input=pipe is a pipe: give an image", ""),
    ("weights=pipe", "weights=pipe is a pipe: give a file", ""),
    ("output=pipe", "output=pipe is a pipe: give the name of a new file", ""),
    (f"input={LONG}.mp4", f"the name {LONG}.mp4 is longer than", ""),
    (f"output=new/{LONG}/out.mp4", "output: the folder new/", ""),
    ("output=new/folder/out.mp4 codec=h256", "codec=h256 is not known here", "output=new/folder/out.mp4"),
    ("output=out.gif codec=h265", "codec= has no meaning, since output=out.gif is no video: leave it out", ""),
    ("output=frames quality=3", "quality= has no meaning, since output=frames is a folder of images", ""),
    ("codec=", "codec= is not text of one character or more, or null", ""),
    ("masks=pipe", "masks=pipe is a pipe: give an image", ""),
    ("device=meta", "device=meta is not here", "device=cpu"),
    ("output=new/folder/out.png", "output=new/folder/out.png is one image, but there are more frames", ""),
]  # fmt: skip

SCORED = ("model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "benchmark=synthetic", "samples=1", "num_examples=0")
EVALUATE: list[Row] = [
    ("metrics=[]", "metrics=[] is not a list of one or more", "metrics=psnr"),
    ("override.scale=abc", "protocol=common: scale=abc is not a number above 0", "override.scale=0.5"),
    ("samples=0", "samples=0 is not an integer of 1 or more", "samples=1.0"),
    ("trust=3", "trust=3 is not true or false", "trust=true"),
    ("workers=-1", "workers=-1 is not an integer from 1 to 512", "workers=1"),
    ("samples=-5", "samples=-5 is not an integer of 1 or more", "samples=2"),
    ("workers=0", "workers=0 is not an integer from 1 to 512", "workers=null"),
    ("num_examples=-1", "num_examples=-1 is not an integer of 0 or more", "num_examples=1"),
    ("override.padding_multiple=0", "protocol=common: padding_multiple=0 is not an", "override.padding_multiple=32"),
    ("override.iterations=0", "protocol=common: iterations=0 is not", "override.iterations=1"),
    ("output=", "output= is not text", "output=scores"),
    ("compare=nothing", "nothing cannot be read (No such file or directory)", "protocol=null"),
    ("benchmark=null", "benchmark=... is needed and was not given", "benchmark=synthetic"),
    ("batch=two", "batch=two is not an integer", "batch=2"),
    ("compare=pipe", "compare=pipe is a pipe: give the folder of an earlier evaluation", ""),
    ("compare=null", "compare=null is not a list", "compare=[]"),
    (f"name={LONG}", f"name={LONG} is not text with a letter or digit, 200 bytes at most", "name=a"),
    ("name=..", "name=.. is not text with a letter or digit", "name=x/y"),
    (f"output=new/{LONG}", "output: the folder new/", "output=new/folder"),
    ("output=pipe", "output: the folder pipe/", ""),
]  # fmt: skip

VIMEO = ("data=vimeo90k", "data.root=vimeo_triplet")
PREPARE: list[Row] = [
    ("task=verify verify.size=64", "verify.size=64 is not a list of 2", "task=verify verify.subset=true"),
    ("task=pack output=packed pack.name=../x", "pack.name=../x is not text of letters",
     "task=pack output=packed pack.name=x-1"),
    ("task=pack output=packed pack.shard=-5", "pack.shard=-5 is not a number above 0",
     "task=pack output=packed pack.shard=5"),
    ("task=flow flow.shard=5/4", "flow.shard=5/4 is not a part of the work", ""),
    ("task=pack output=packed pack.name=", "pack.name= is not text of letters", ""),
    ("task=pack output=packed processes=0", "processes=0 is not an integer from 1 to 512",
     "task=pack output=packed processes=1"),
    ("task=verify verify.size=[0,64]", "verify.size=[0,64] is not a list of 2", ""),
    ("task=flow flow.updates=0", "flow.updates=0 is not an integer of 1 or more", ""),
    ("task=flow flow.batch_size=-1", "flow.batch_size=-1 is not an integer of 1 or more", ""),
    ("task=flow flow.format=zip", "flow.format=zip is not known", ""),
    ("task=distance distance.ratio=0", "distance.ratio=0 is not an integer of 1 or more", ""),
    ("task=triplets output=x triplets.frames=4", "triplets.frames=4 is not one of 3, 7", ""),
    ("task=triplets output=x triplets.least_motion=-1", "triplets.least_motion=-1 is not a number of 0 or more", ""),
    ("task=triplets output=x triplets.per_video=0", "triplets.per_video=0 is not an integer of 1 or more", ""),
    ("task=download what=nothing output=x", "what=nothing is not known", "task=download"),
    ("task=download what=ftp://host/file output=x/y", "ftp://host/file cannot be fetched: give an address", ""),
    (f"task=pack output=x/{LONG}", "output: the folder x/", ""),
    ("task=triplets data=video data.root=pipe output=x/y", "data.root=pipe is a pipe: give a video, a folder", ""),
    ("task=verify output=pipe", "output=pipe is a pipe: give the name of a new file", ""),
]  # fmt: skip

PROFILE: list[Row] = [
    ("sizes=[]", "sizes=[] is not a list of one or more", "sizes=32x32"),
    ("modes=[]", "modes=[] is not a list of one or more", "modes=eager"),
    ("batch=0", "batch=0 is not an integer of 1 or more", "batch=1"),
    ("threads=0", "threads=0 is not an integer of 1 or more", "threads=1"),
    ("warmup=-1", "warmup=-1 is not an integer of 0 or more", "warmup=0"),
    ("repeats=1.5", "repeats=1.5 is not an integer", "repeats=1"),
    ("sizes=[1e3x64]", "sizes: 1e3x64 is not HEIGHTxWIDTH", "sizes=[48x32]"),
    (f"output=new/{LONG}", f"the name {LONG}.md is longer than", "output=new/table"),
]
EXPORT: list[Row] = [
    ("output=.", "output=. is a folder: give the name of the file to write", "output=x.pth"),
    ("output=", "output= is not text", "format=published"),
    ("iterations=0", "iterations=0 is not an integer of 1 or more", "iterations=2"),
    ("format=xyz", "format=xyz is not known", "format=published"),
    ("overwrite=maybe", "overwrite=maybe is not true or false", "overwrite=true"),
    ("output=pipe.pth overwrite=true", "output=pipe.pth is a pipe: give the name of a new", "output=new/x.pth"),
    (f"output=new/{LONG}.pth", f"the name {LONG}.pth is longer than", ""),
]
PAGE: list[Row] = [
    ("port=99999", "port=99999 is not an integer from 1 to 65535", "port=7861"),
    ("keep=-1", "keep=-1 is not a number above 0", "keep=60"),
    ("side=0", "side=0 is not an integer from 64 to 16384", "side=720"),
    ("upload=0", "upload=0 is not an integer of 1 or more", "upload=5"),
    ("model=ifrnett", "there is no model=ifrnett: did you mean", "model=ifrnet_tiny"),
    (
        "weights=ifrnet_tiny_syntetic",
        "weights=ifrnet_tiny_syntetic is no file, no run in runs/ and no shipped",
        "weights=ifrnet_tiny_synthetic",
    ),
    ("device=abacus", "device=abacus", "device=cpu"),
    ("host=", "host= is not text", "host=0.0.0.0"),
]

PROGRAMS: dict[str, tuple[tuple[str, ...], list[Row]]] = {
    "vfi_train": (QUICK, TRAIN),
    "vfi_train.interpolate": (VIDEO, INTERPOLATE),
    "vfi_train.evaluate": (SCORED, EVALUATE),
    "vfi_train.prepare": (VIMEO, PREPARE),
    "vfi_train.profile": (("model=ifrnet_tiny", "sizes=32x32", "repeats=1", "warmup=0"), PROFILE),
    "vfi_train.export": (("model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "output=y.pth"), EXPORT),
    "vfi_train.app": ((), PAGE),
}


def cases() -> list[Any]:
    found = []
    for module, (_, table) in PROGRAMS.items():
        for number, row in enumerate(table):
            marks = [pytest.mark.slow] * (number >= FAST) + [pytest.mark.long] * (number >= SLOW)
            found.append(pytest.param(module, *row, marks=marks, id=f"{module.rpartition('.')[2]}-{row[0]}"))
    return found


def with_defaults(module: str, words: str) -> list[str]:
    given = re.split(r" (?=[\w.]+=)", words)
    keys = {word.partition("=")[0] for word in given}
    return [*(word for word in PROGRAMS[module][0] if word.partition("=")[0] not in keys), *given]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ID", "7")
    write_video(tmp_path / "in.mp4", pan(3))
    fabricate("vimeo90k", tmp_path)
    for name in ("pipe", "pipe.pth"):
        os.mkfifo(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(("module", "mistake", "said", "corrected"), cases())
def test_a_mistake_is_one_sentence_and_its_correction_is_accepted(
    module: str, mistake: str, said: str, corrected: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files_below(folder)
    status = exit_status(module, *with_defaults(module, mistake), cwd=folder)
    lines = capfd.readouterr().err.splitlines()
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"error: {said}")
    assert files_below(folder) == before
    if module == "vfi_train":
        plan_of(*with_defaults(module, corrected))
    elif module == "vfi_train.app":  # would serve until it is interrupted
        overrides = hydra_arguments([corrected])
        config = compose_config("app", overrides)
        check_values(config, overrides, "app")
        read_settings(PageSettings, config)
    elif corrected:
        status = exit_status(module, *with_defaults(module, corrected), cwd=folder)
        assert status == (1 if "task=verify" in corrected else 0), capfd.readouterr().err


def test_there_are_a_hundred() -> None:
    assert sum(len(table) for _, table in PROGRAMS.values()) >= 100
