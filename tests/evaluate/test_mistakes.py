"""A user's mistake is reported in one sentence, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.evaluation import evaluated
from tests.helpers.programs import run_program
from vfi_train.errors import DataError, UserError

UCF = ("model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "benchmark=ucf101")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((), "there is nothing to measure: give model=NAME weights=WEIGHTS, run=NAME or compare="),
        (UCF[:2], "benchmark=... is needed and was not given: give a name of conf/benchmark, or all"),
        (UCF[::2], "ifrnet_tiny needs weights: give weights=FILE"),
        ((*UCF[::2], "weights=nowhere.pth"), "weights=nowhere.pth is no file, no run"),
        (("model=[ifrnet_tiny,amt_s]", "weights=[a,b,c]", UCF[2]), "weights lists 3 for 2 models: give one for each"),
        (("run=nothing", UCF[2]), "run=nothing is no training in runs/: "),
        ((*UCF, "precision=fp8"), "precision=fp8 is not known: did you mean "),
        ((*UCF, "batch=0"), "batch=0 is not a number of pairs: give 1 or more"),
        ((*UCF, "metrics=[psnr,mssim]"), "there is no metric 'mssim': did you mean 'ssim'"),
        ((*UCF, "protocol=rife", "benchmark=xiph"), "protocol=rife does not measure xiph; it measures "),
        ((*UCF[:2], "benchmark=atd12k", "root=.", "protocol=[amt,rife]"), "protocol=amt does not measure atd12k; it "),
        ((*UCF, "+protocol.always.scales=2", "protocol=amt"), "protocol=amt has no setting 'scales': did you mean"),
        ((*UCF, "override.padding=mirror"), "protocol=ifrnet: padding is one of replicate, zeros, reflect, or a value"),
        ((*UCF, "+benchmark.options.val_sample=3"), "there is no key 'val_sample' in benchmark.options"),
        ((*UCF, "metrics=[psnr,lpips_alex]", "backbones=/nowhere"), "by metrics=[psnr,ssim]) needs alexnet-owt-7be5be"),
        ((*UCF, "metrics=[psnr,lpips_squeeze]", "backbones=/nowhere"), "[psnr,ssim]) needs squeezenet1_1-b8a52dc0.pth"),
        ((*UCF, "metrics=[flolpips_dis]", "backbones=/nowhere"), "metric flolpips_dis (leave it out by metrics="),
        ((*UCF, "metrics=[dists]", "backbones=/nowhere"), "the metric dists (leave it out by metrics=[psnr,ssim]) n"),
        ((*UCF, "metrics=[psnr,lpips]"), "there is no metric 'lpips': give lpips_alex (what lpips was), lpips_vgg or"),
        ((*UCF, "metrics=[niqe]", "niqe_parameters=/nowhere.npz"), "there is no file /nowhere.npz: give the path of"),
        ((*UCF, "compare=[/nowhere]"), "/nowhere cannot be read (No such file or directory): give the folder of an"),
        ((*UCF[:2], "benchmark=all", "root=/nowhere"), "root=/nowhere has no folder of a benchmark (vimeo90k: there "),
        ((*UCF, "devices=none"), "devices=none is not a number of processes: give auto, or 1 or more"),
        ((*UCF, "device=gpu9"), "device=gpu9 devices=auto is not available"),
    ],
)  # fmt: skip
def test_the_sentence(given: tuple[str, ...], sentence: str, tmp_path: Path, roots: dict[str, Path]) -> None:
    rooted = () if any(word.startswith("root=") for word in given) else (f"root={roots['ucf101']}",)
    with pytest.raises(UserError) as raised:
        evaluated(tmp_path / "out", *given, *rooted)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^(there is no folder )?root\b"):
        evaluated(tmp_path / "out", *UCF)
    with pytest.raises(DataError, match=r"^(there is no folder )?root\b"):
        evaluated(tmp_path / "out", *UCF, f"root={tmp_path / 'nothing'}")


def test_messages_name_keys_of_this_program(tmp_path: Path, roots: dict[str, Path]) -> None:
    """The same words are then taken by it."""
    given = (*UCF[:2], "benchmark=co3d", "protocol=common", f"root={roots['co3d']}", "num_examples=0", "samples=1")
    with pytest.raises(DataError, match=r"for each of \+\+benchmark\.options\.packs=500 packs: give") as raised:
        evaluated(tmp_path, *given, "++benchmark.options.packs=500")
    assert "data." not in str(raised.value)
    evaluated(tmp_path, *given, "++benchmark.options.packs=1")


def test_times_that_a_network_cannot_predict(tmp_path: Path, roots: dict[str, Path]) -> None:
    given = ["model=ifrnet_tiny", "model._target_=tests.helpers.toy_benchmark.middle", "num_examples=0", "name=x"]
    with pytest.raises(ValueError, match=r"reaches times k / 2\^n"):
        evaluated(tmp_path, *given, "benchmark=vimeo_septuplet", "protocol=common", f"root={roots['vimeo_septuplet']}")
    crop = "+benchmark.options.val_transforms=[{_target_:datamodules.transforms.CenterCrop,size:32}]"
    (result,) = evaluated(tmp_path, *given, "benchmark=adobe240", f"root={roots['adobe240']}", crop)
    assert "times are reached by halving intervals" in result.notes[0]


def test_the_program_ends_with_the_sentence(tmp_path: Path) -> None:
    done = run_program("vfi_train.evaluate", "model=ifrnet_tiny", "benchmark=vimeo", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: there is no benchmark=vimeo: did you mean 'vimeo90k' or 'vimeo_septuplet'?\n"
    assert done.stdout == ""
