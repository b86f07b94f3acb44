"""docs/commands.md: every command on it runs (that they compose is tested with those of the other pages)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from tests.helpers.layouts import LAYOUTS, fabricate
from tests.helpers.pages import DOCS, commands
from tests.helpers.programs import ENVIRONMENT, run_program
from tests.helpers.videos import pan, write_video
from vfi_train.architectures import create_model
from vfi_train.weights import published_state_dict

PAGE = DOCS / "commands.md"
WEIGHTS = {
    "flownet.pkl": "rife", "IFRNet_Vimeo90K.pth": "ifrnet", "IFRNet_GoPro.pth": "ifrnet", "amt-s.pth": "amt_s",
    "gopro_amt-s.pth": "amt_s", "ours.pkl": "ema_vfi", "ours_t.pkl": "ema_vfi_t", "ours_small.pkl": "ema_vfi_small",
    "ours_small_t.pkl": "ema_vfi_small_t", "atm-vfi-lite.pt": "atm_vfi_lite", "RIFE_D.pkl": "rife_d",
    "IFRNet_D.pth": "ifrnet_d", "RIFE_DR.pkl": "rife_dr",
}  # fmt: skip
DATA = {
    "vimeo_triplet": "vimeo90k", "gopro": "gopro", "ucf101": "ucf101", "middlebury": "middlebury",
    "vimeo_septuplet": "vimeo_septuplet", "x4k1000fps": "x4k1000fps", "snu_film": "snu_film",
}  # fmt: skip

SMALLER = {"vfi_train": ["dry_run=true"], "vfi_train.evaluate": ["samples=1", "device=cpu"]}
LESS = {  # LPIPS needs files that are not here
    "vfi_train.evaluate model=rife_d weights=RIFE_D.pkl benchmark=vimeo_septuplet root=vimeo_septuplet": [
        "metrics=[psnr,ssim]"
    ]
}


def name_of(command: list[str]) -> str:
    return " ".join(command)


def cases() -> list[Any]:
    """Commands without a pipe; but for the first of each program and network they are for `make test-long`."""
    found, seen = [], set()
    for command in commands(PAGE):
        if "input=-" not in command:
            kind = (command[0], command[1])
            marks = [pytest.mark.slow] + [pytest.mark.long] * (kind in seen)
            found.append(pytest.param(command, marks=marks, id=name_of(command)))
            seen.add(kind)
    return found


def test_outputs_differ() -> None:
    outputs = [argument for command in commands(PAGE) for argument in command if argument.startswith("output=")]
    assert len(outputs) > 25
    assert len(outputs) == len(set(outputs))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the page names: weights without training, tiny datasets, images and a video."""
    folder = tmp_path_factory.mktemp("page")
    torch.manual_seed(0)
    for file, name in WEIGHTS.items():
        torch.save({f"module.{key}": x for key, x in published_state_dict(create_model(name)).items()}, folder / file)
    for root, name in DATA.items():
        made = fabricate(name, folder / "data" / root, size=(512, 512) if name == "gopro" else None)
        (folder / root).symlink_to(made)
    (folder / "images").mkdir()
    for index, image in enumerate(pan(3)):
        content = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / "images" / f"{index}.png"), content)
        cv2.imwrite(str(folder / f"frame{index}.png"), content)
    write_video(folder / "clip.mp4", pan(3), sound="aac")
    return folder


@pytest.mark.parametrize("command", cases())
def test_it_runs(command: list[str], place: Path) -> None:
    program, *arguments = command
    process = run_program(program, *arguments, *SMALLER.get(program, []), *LESS.get(name_of(command), []), cwd=place)
    assert process.returncode == 0, process.stderr
    output = next((a.partition("=")[2] for a in arguments if a.startswith("output=")), None)
    if output is not None and program != "vfi_train.profile":
        assert (place / output).exists()
        assert not list(place.glob(".*part*"))


@pytest.mark.slow
def test_the_pipe_runs(place: Path) -> None:
    ((program, *arguments),) = [c for c in commands(PAGE) if "input=-" in c]
    write_video(place / "in.y4m", pan(2), codec="wrapped_avframe")
    with (place / "in.y4m").open("rb") as stdin:
        process = subprocess.run(
            [sys.executable, "-m", program, *arguments], cwd=place, stdin=stdin, capture_output=True, env=ENVIRONMENT
        )
    assert process.returncode == 0, process.stderr.decode()
    assert process.stdout.startswith(b"YUV4MPEG2")


def test_files_that_the_tests_make_are_on_the_page() -> None:
    text = PAGE.read_text()
    assert [name for name in (*WEIGHTS, *DATA) if name not in text] == []
    assert set(DATA.values()) <= set(LAYOUTS)
