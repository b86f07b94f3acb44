"""Vimeo90K in its published layout, fabricated small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from datamodules.storage import flow_io
from datamodules.storage.image_io import list_images, read_image
from datamodules.vimeo90k import Vimeo90K, split
from vfi_train.errors import DataError

CLIPS = {"tri_trainlist.txt": ["00001/0001", "00001/0002", "00002/0001"], "tri_testlist.txt": ["00003/0001"]}


def image(seed: int, height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, clips in CLIPS.items():
        (tmp_path / name).write_text("\n".join(clips) + "\n\n")  # the published list has a blank line, too
        for clip in clips:
            frames, flow = tmp_path / "sequences" / clip, tmp_path / "flow" / clip
            frames.mkdir(parents=True)
            flow.mkdir(parents=True)
            for i in (1, 2, 3):
                cv2.imwrite(str(frames / f"im{i}.png"), image(int(clip[-1]) * 10 + i)[..., ::-1])
            for i in (0, 1):
                flow_io.write(flow / f"flow_t{i}.flo", np.full((24, 40, 2), (i + 0.25, -i - 0.5)))
    return tmp_path


def data(root: Path | None, **options: Any) -> Vimeo90K:
    return Vimeo90K(root=None if root is None else str(root), **{"batch_size": 1, **options})


def test_a_triplet_is_read_as_rgb_with_its_labels(root: Path) -> None:
    module = data(root, flow=True)
    module.setup()
    assert (module.train_size, module.val_size) == (3, 1)
    sample = module.train_source().sample(1, None)
    for name, i in (("frame0", 1), ("target", 2), ("frame1", 3)):
        np.testing.assert_array_equal(sample[name], image(20 + i))
    assert sample["key"] == "00001/0002"
    assert sample["time"] == 0.5
    np.testing.assert_array_equal(sample["flow"][3, 4], (0.25, -0.5, 1.25, -1.5))
    batch = next(iter(module.val_dataloader()))
    assert batch["key"] == ["00003/0001"]
    assert batch["flow"].shape == (1, 4, 24, 40)
    assert torch.equal(batch["target"][0].permute(1, 2, 0), torch.from_numpy(image(12)))


def test_the_published_augmentation_is_the_configured_one(root: Path) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("data/vimeo90k", overrides=[f"+data.root={root}"]).data
    config.update(root=str(root), flow=True, num_workers=0, batch_size=3)
    module = instantiate(config, _convert_="all")
    names = [(type(t).__name__, t.probability) for t in module.transforms.transforms]
    assert names == [
        ("RandomResize", 0.1),
        ("RandomCrop", 1.0),
        ("ReverseChannels", 0.5),
        ("VerticalFlip", 0.3),
        ("HorizontalFlip", 0.5),
        ("Transpose", 0.05),
        ("ReverseTime", 0.5),
    ]
    module.transforms.transforms[1].height = module.transforms.transforms[1].width = 16
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert batch["frame0"].shape == (3, 3, 16, 16)
    assert batch["flow"].shape == (3, 4, 16, 16)


def test_held_out_clips_can_be_fewer(root: Path) -> None:
    (root / "tri_testlist.txt").write_text("\n".join(CLIPS["tri_trainlist.txt"]))
    source = data(root, val_samples=2).val_source()
    assert [source.sample(i, None)["key"] for i in range(len(source))] == ["00001/0001", "00002/0001"]


def test_the_test_set_alone_is_enough_to_evaluate(root: Path) -> None:
    (root / "tri_trainlist.txt").unlink()
    (root / "sequences").rename(root / "target")
    module = data(root)
    module.setup("validate")
    (batch,) = module.val_dataloader()
    assert batch["key"] == ["00003/0001"]
    assert torch.equal(batch["target"][0].permute(1, 2, 0), torch.from_numpy(image(12)))
    with pytest.raises(DataError, match=r"has no tri_trainlist\.txt"):
        data(root).setup("fit")


def test_the_training_list_can_be_split_as_rife_does(root: Path) -> None:
    """int(0.95 * 51,312) clips train, the rest of the list validates; here 0.7 * 3."""
    module = data(root, train_fraction=0.7, val_split="rest")
    train, rest = module.train_source(), module.val_source()
    assert [train.sample(i, None)["key"] for i in range(len(train))] == ["00001/0001", "00001/0002"]
    assert [rest.sample(i, None)["key"] for i in range(len(rest))] == ["00002/0001"]
    with pytest.raises(DataError, match=r"^data\.train_fraction=0\.3 of 3 clips in the training list is none"):
        data(root, train_fraction=0.3).check()
    assert [len(part) for part in split(["clip"] * 51_312, 0.95)] == [48_746, 2_566]


def test_a_list_from_windows_is_read(root: Path) -> None:
    names = "\r\n".join(CLIPS["tri_trainlist.txt"]).replace("/", "\\")
    (root / "tri_trainlist.txt").write_bytes(b"\xef\xbb\xbf" + names.encode())
    module = data(root)
    module.setup("fit")
    train = module.train_source()
    assert [train.sample(i, None)["key"] for i in range(len(train))] == CLIPS["tri_trainlist.txt"]


def test_an_image_is_read_by_its_content(tmp_path: Path) -> None:
    _, content = cv2.imencode(".jpg", image(0), [cv2.IMWRITE_JPEG_QUALITY, 95])
    (tmp_path / "a.png").write_bytes(content.tobytes())
    (tmp_path / "a.jpg").write_bytes(content.tobytes())
    assert np.array_equal(read_image(tmp_path / "a.png"), read_image(tmp_path / "a.jpg"))


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("tri_trainlist.txt"), r"^data\.root=\S+ has no tri_trainlist\.txt: .*vimeo_triplet\.zip, http"),
        (lambda r: (r / "tri_testlist.txt").write_text("\n"), r"tri_testlist\.txt is empty: .*vimeo_triplet\.zip"),
        (
            remove("sequences/00001/0001/im2.png"),
            r"^sample 00001/0001: \S+im2\.png is missing from data\.root: .*\.zip",
        ),
        (remove("flow/00003/0001/flow_t1.flo"), r"flow_t1\.flo, the flow label .* is missing: .*data\.flow=false"),
    ],
)
def test_what_is_missing_is_one_sentence_before_training(spoil: Callable, message: str, root: Path) -> None:
    spoil(root)
    with pytest.raises(DataError, match=message):
        data(root, flow=True).check()


def test_the_folder_itself_is_missing_or_one_level_up(root: Path) -> None:
    with pytest.raises(DataError, match=r"^data\.root is not set: give the folder vimeo_triplet"):
        data(None).check()
    with pytest.raises(
        DataError,
        match=r"^there is no folder data\.root=\S+gone: give the folder vimeo_triplet \(from",
    ):
        data(root / "gone").check()
    (root / "up" / "vimeo_triplet").mkdir(parents=True)
    with pytest.raises(DataError, match=r"give data\.root=\S+up/vimeo_triplet$"):
        data(root / "up").check()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.unlink(), r"^sample 00002/0001: \S+im3\.png is missing$"),
        (lambda p: p.write_bytes(p.read_bytes()[:-300]), r"^sample 00002/0001: \S+im3\.png is cut off \(\d"),
        (lambda p: p.write_bytes(b"hello IEND"), r"^sample 00002/0001: \S+im3\.png is not an image"),
        (lambda p: p.write_bytes(b""), r"^sample 00002/0001: \S+im3\.png is cut off \(0 bytes\)"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_in_training_is_one_sentence(spoil: Callable, message: str, workers: int, root: Path) -> None:
    spoil(root / "sequences/00002/0001/im3.png")
    module = data(root, num_workers=workers)
    module.setup()
    with pytest.raises(DataError, match=message):
        list(module.train_dataloader())


def test_images_are_listed_by_the_value_of_their_numbers(tmp_path: Path) -> None:
    names = ["frame10.png", "frame2.png", "a.txt", "frame1.jpg", ".hidden.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in list_images(tmp_path)] == ["frame1.jpg", "frame2.png", "frame10.png"]
