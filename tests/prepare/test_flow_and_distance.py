"""Labels and maps out of frames whose motion is known: frame k is frame 0 moved k pixels to the right."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from datamodules.storage import flow_io
from datamodules.storage.distance_maps import distance_map, shrink
from datamodules.storage.store import open_store
from datamodules.transforms import CenterCrop, HorizontalFlip
from datamodules.vimeo_septuplet import VimeoSeptuplet
from tests.goldens import golden
from tests.helpers import flow_functions
from tests.helpers.golden_cases import GOLDENS, load
from tests.helpers.in_process import composed
from tests.helpers.layouts import fabricate
from tests.helpers.prepare_tasks import task
from vfi_train.errors import UserError
from vfi_train.prepare.command import prepare
from vfi_train.prepare.raft import load_raft, raft_flow

HERE = "tests.helpers.flow_functions"
DIS = f"{HERE}:dis"
MIDDLE = np.s_[12:-12, 20:-20]  # the borders come round


def made(kind: str, dataset: str, root: Path, output: Path | None = None, **keys: Any) -> Path:
    settings = {"function": DIS, **keys.pop("flow", {})}
    prepare(task(kind, dataset, root, output=None if output is None else str(output), flow=settings, **keys))
    return root if output is None else output


@pytest.fixture
def vimeo(tmp_path: Path) -> Path:
    return fabricate("vimeo90k", tmp_path)


@pytest.fixture
def septuplets(tmp_path: Path) -> Path:
    root = fabricate("vimeo_septuplet", tmp_path, clips=1)
    shutil.rmtree(root / "flow")
    for path in root.rglob("*.npy"):
        path.unlink()
    return root


@pytest.mark.parametrize("name", ["vimeo90k_maps", "vimeo90k_maps_amt", "vimeo90k_maps_ema_vfi"])
def test_maps_of_triplets_are_trained_on(name: str, vimeo: Path) -> None:
    """What task=distance makes of data=vimeo90k; the middle frame is half way, forwards and backwards."""
    made("distance", "vimeo90k", vimeo)
    block = composed(f"data={name}").data
    block.root, block.num_workers, block.transforms, block.train_fraction = str(vimeo), 0, [], 1.0
    module = instantiate(block, val_split="test", _convert_="all")
    module.check()
    source = module.train_source()
    keys = set()
    for seed in range(12):
        sample = source.sample(0, np.random.default_rng(seed))
        keys.add(sample["key"].rpartition("/")[2])
        assert sample["time"].shape == sample["frame0"].shape[:2]
        assert np.median(sample["time"][MIDDLE]) == pytest.approx(0.5, abs=0.05)
    assert keys == {"0-1-2", "2-1-0"}
    assert len(module.val_source()) == len((vimeo / "tri_testlist.txt").read_text().split())


def test_labels_of_triplets_are_the_flow_from_the_target_to_both_frames(vimeo: Path, tmp_path: Path) -> None:
    output = made("flow", "vimeo90k", vimeo, tmp_path / "out")
    labels = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.flo"))
    assert labels == sorted(path.relative_to(vimeo).as_posix() for path in vimeo.rglob("*.flo"))  # as published
    for name in labels:
        got, exact = flow_io.read_flow(output / name), flow_io.read_flow(vimeo / name)
        assert np.abs(got - exact)[MIDDLE].mean() < 0.1, name
    assert json.loads((output / "flow.json").read_text()) == {"function": DIS}


def test_packed_labels_are_those_in_files_and_are_found_beside_the_frames(vimeo: Path, tmp_path: Path) -> None:
    files = made("flow", "vimeo90k", vimeo, tmp_path / "out")
    shutil.rmtree(vimeo / "flow")
    made("flow", "vimeo90k", vimeo, flow={"format": "packed"}, pack={"shard": 0.1})
    (pack,) = open_store(vimeo).packs
    assert len(pack.sizes) > 1
    assert pack.index["made"] == {"function": DIS}
    for path in files.rglob("*.flo"):
        name = path.relative_to(files).as_posix()
        np.testing.assert_array_equal(open_store(vimeo).read_flow(name, "key"), flow_io.read_flow(path))
    data = instantiate(task("flow", "vimeo90k", vimeo, data={"flow": True}).data, _convert_="all")
    data.setup()
    assert next(iter(data.train_dataloader()))["flow"].shape == (2, 4, 32, 32)


def test_labels_of_septuplets(septuplets: Path) -> None:
    made("flow", "vimeo_septuplet", septuplets, flow={"batch_size": 30})
    for a, b in itertools.product(range(7), repeat=2):
        path = septuplets / f"flow/00001/0001/flow_{a}_{b}.flo"
        assert path.is_file() == (0 < a < 6 and a != b)
        if path.is_file():
            assert abs(np.median(flow_io.read_flow(path)[..., 0][MIDDLE]) - (b - a)) < 0.1


def test_distance_maps_of_septuplets(septuplets: Path) -> None:
    """All seventy; the motion is even, so each is (target - start) / (end - start) wherever the flow is right."""
    made("distance", "vimeo_septuplet", septuplets, flow={"batch_size": 42})
    folder = septuplets / "sequences/00001/0001"
    forwards = list(itertools.combinations(range(7), 3))
    names = {f"dis_index_{s}_{m}_{e}.npy" for f in forwards for s, m, e in (f, f[::-1])}
    assert {path.name for path in folder.glob("*.npy")} == names
    assert len(names) == 70
    for name in names:
        stored = np.load(folder / name)
        start, middle, end = (int(n) for n in name[:-4].split("_")[2:])
        assert (stored.dtype, stored.shape) == (np.float16, (24, 32))
        assert abs(np.median(stored[4:-4, 8:-8]) - (middle - start) / (end - start)) < 0.06, name
    assert json.loads((septuplets / "distance.json").read_text()) == {"function": DIS, "ratio": 2}
    frames = [torch.from_numpy(open_store(septuplets).read(f"sequences/00001/0001/im{i}.png", "")) for i in (6, 1, 3)]
    end, start, middle = (frame.permute(2, 0, 1)[None].float() / 255 for frame in frames)
    full, part = (flow_functions.dis(start, other)[0].permute(1, 2, 0).numpy() for other in (end, middle))
    np.testing.assert_array_equal(np.load(folder / "dis_index_0_2_5.npy"), shrink(distance_map(full, part), 2))


def test_packed_maps_are_whole_and_are_augmented_with_the_frames(septuplets: Path) -> None:
    """Made, packed, verified, and read by a training on septuplets, of which this is one mirrored sample in a crop."""
    made("distance", "vimeo_septuplet", septuplets, flow={"format": "packed", "batch_size": 42})
    assert not list(septuplets.rglob("dis_index_*"))
    config = task("verify", "vimeo_septuplet", septuplets, data={"variant": "D"})
    config.verify = {"decode": True, "subset": True, "size": [48, 64]}
    prepare(config)  # an issue would end the process
    mirrored = [HorizontalFlip(1.0), CenterCrop(32)]
    plain, turned = (
        VimeoSeptuplet(root=str(septuplets), variant="D", maps="ifrnet", batch_size=1, transforms=transforms)
        for transforms in ([], mirrored)
    )
    for seed in range(6):
        given, got = (data.train_source().sample(0, np.random.default_rng(seed)) for data in (plain, turned))
        assert isinstance(given, dict)
        assert isinstance(got, dict)
        start, middle, end = (int(n) for n in given["key"].rpartition("/")[2].split("-"))
        assert abs(np.median(given["time"][12:-12, 20:-20]) - (middle - start) / (end - start)) < 0.06
        assert given["time"].std() > 1e-3  # the borders come round
        for name in ("time", "frame0", "target", "frame1"):
            np.testing.assert_array_equal(got[name], given[name][:, ::-1][8:-8, 16:-16])


def test_packed_maps_of_triplets_at_another_ratio(vimeo: Path, tmp_path: Path) -> None:
    output = made("distance", "vimeo90k", vimeo, tmp_path / "out", flow={"format": "packed"}, distance={"ratio": 4})
    (pack,) = open_store(output).packs
    assert len(pack) == 2 * 5
    assert pack.index["made"] == {"function": DIS, "ratio": 4}
    stored = open_store(output).read_array("sequences/00001/0001/dis_index_2_1_0.npy", "key")
    assert (stored.dtype, stored.shape) == (np.float16, (16, 24))
    assert abs(float(np.median(stored[3:-3, 5:-5])) - 0.5) < 0.05


@pytest.mark.parametrize("form", ["files", "packed"])
def test_what_is_there_is_not_made_again(form: str, vimeo: Path, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"flow": {"format": form, "batch_size": 2}, "pack": {"shard": 0.1}}
    output = made("flow", "vimeo90k", vimeo, tmp_path / "out", **keys)
    content = {path: path.read_bytes() for path in output.rglob("*.flo" if form == "files" else "*.bin")}
    spoilt = sorted(content)[1]
    spoilt.unlink()
    flow_functions.calls.clear()
    made("flow", "vimeo90k", vimeo, output, **keys)
    assert len(flow_functions.calls) == 1  # of five pairs of labels, or five shards
    assert {path: path.read_bytes() for path in content} == content


def test_the_work_is_shared(vimeo: Path, tmp_path: Path) -> None:
    full = {p.name for p in made("flow", "vimeo90k", vimeo, tmp_path / "all").rglob("*/*/*/*.flo")}
    for number in (1, 2, 3):
        made("flow", "vimeo90k", vimeo, tmp_path / "out", flow={"shard": f"{number}/3", "batch_size": 2})
        packed = {"shard": f"{number}/3", "batch_size": 2, "format": "packed"}
        made("flow", "vimeo90k", vimeo, tmp_path / "out2", flow=packed)
    assert {p.name for p in (tmp_path / "out").rglob("*/*/*/*.flo")} == full
    assert len(list((tmp_path / "out").rglob("*.flo"))) == 10
    packs = open_store(tmp_path / "out2").packs
    assert [pack.folder.name for pack in packs] == ["flow-1-of-3", "flow-2-of-3", "flow-3-of-3"]
    assert sum(len(pack) for pack in packs) == 10


def test_labels_of_another_making_are_not_mixed_in(vimeo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds files of flow that were made by something else"):
        made("flow", "vimeo90k", vimeo)
    output = made("flow", "vimeo90k", vimeo, tmp_path / "out")
    note = output / "flow.json"
    note.write_text(json.dumps({"function": "another"}))
    with pytest.raises(UserError, match=r"made with other settings \(\S+flow\.json would be"):
        made("flow", "vimeo90k", vimeo, output)
    packed = made("flow", "vimeo90k", vimeo, tmp_path / "packed", flow={"format": "packed"})
    with pytest.raises(UserError, match=r"packed/flow was begun for other files or with other settings"):
        made(
            "flow",
            "vimeo90k",
            vimeo,
            packed,
            flow={"format": "packed", "function": "tests.helpers.flow_functions:small"},
        )


@pytest.mark.parametrize("form", ["files", "packed"])
def test_a_command_that_made_nothing_does_not_keep_the_folder(form: str, vimeo: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(UserError):
        made("flow", "vimeo90k", vimeo, output, flow={"format": form, "function": f"{HERE}:small"})
    made("flow", "vimeo90k", vimeo, output, flow={"format": form})
    assert (output / "packed" / "flow" / "index.json" if form == "packed" else output / "flow.json").is_file()


def test_raft_with_weights_of_a_file_that_is_recorded(tmp_path: Path) -> None:
    """Whatever else the program adds, what comes out is RAFT's own flow."""
    case = load("functions_RIFE", "raft_flow")
    manifest = json.loads((GOLDENS / "functions_RIFE" / "raft_manifest.json").read_text())
    tensors = golden.state_dict(manifest, case.info["gain"], case.info["salt"])
    weights = tmp_path / "raft.pth"
    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, weights)
    root = fabricate("vimeo90k", tmp_path, size=(128, 136), clips=1)
    (root / "tri_testlist.txt").write_text((root / "tri_trainlist.txt").read_text())
    raft = {"function": "raft", "weights": str(weights), "updates": 2}
    output = made("flow", "vimeo90k", root, tmp_path / "out", flow=raft, device="cpu")
    facts = json.loads((output / "flow.json").read_text())
    assert facts["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (facts["weights"], facts["updates"]) == ("raft.pth", 2)
    assert facts["function"].startswith("raft_large of torchvision ")
    store = open_store(root)
    images = [store.read(f"sequences/00001/0001/im{i}.png", "") for i in (2, 1, 3)]
    target, frame0, frame1 = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in images)
    network = load_raft(weights)
    for name, frame in (("flow_t0", frame0), ("flow_t1", frame1)):
        got = flow_io.read_flow(output / f"flow/00001/0001/{name}.flo")
        expected = raft_flow(network, target, frame, 2)[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "dataset", "keys", "message"),
    [
        (
            "flow",
            "vimeo90k",
            {"flow": {"function": "raft"}},
            r"^flow\.weights is not set and \S+ does not exist",
        ),
        ("flow", "vimeo90k", {"flow": {"function": "numpy:none"}}, r"^flow\.function=numpy:none cannot be imported"),
        (
            "flow",
            "vimeo90k",
            {"flow": {"function": f"{HERE}:NUMBER"}},
            r"NUMBER cannot be imported: give raft",
        ),
        ("flow", "vimeo90k", {"flow": {"function": f"{HERE}:small"}}, r"\(2, 2, 32, 48\).*\(2, 2, 64, 96\)"),
        ("flow", "vimeo90k", {"flow": {"function": f"{HERE}:endless"}}, r"not finite"),
        ("flow", "vimeo90k", {"flow": {"format": "zip"}}, r"^flow\.format=zip is not known"),
        ("flow", "vimeo90k", {"flow": {"shard": "5/4"}}, r"^flow\.shard=5/4 is not a part of the work"),
        ("flow", "gopro", {}, r"^data=gopro takes no flow labels"),
        ("distance", "gopro", {}, r"^data=gopro takes no distance maps: vimeo_septuplet and vimeo90k do$"),
        ("distance", "vimeo90k", {"distance": {"ratio": 100}}, r"^distance\.ratio=100 does not suit frames of 64x96"),
    ],
)
def test_mistakes_are_one_sentence(
    kind: str, dataset: str, keys: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    root = fabricate(dataset, tmp_path)
    settings = {**keys, "flow": {"batch_size": 2, **keys.get("flow", {})}}
    with pytest.raises(UserError, match=message):
        made(kind, dataset, root, tmp_path / "out", **settings)


def test_a_missing_weights_file_names_it(vimeo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file none\.pth: give the path of raft-things\.pth"):
        made("flow", "vimeo90k", vimeo, tmp_path / "out", flow={"function": "raft", "weights": "none.pth"})
