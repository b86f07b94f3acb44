"""Fabricated benchmarks, measured inside the test's own process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric import Fabric

from datamodules import x4k1000fps
from tests.helpers import toy_benchmark as toy
from tests.helpers.evaluation import composed
from tests.helpers.layouts import fabricate
from vfi_train.config.selection import configured
from vfi_train.evaluate.benchmarks import open_split
from vfi_train.evaluate.jobs import Job, run_job
from vfi_train.evaluate.networks import EvaluatedModel
from vfi_train.evaluate.options import read_benchmark, read_options, read_protocol
from vfi_train.evaluate.predictor import set_up
from vfi_train.evaluate.protocol import resolve
from vfi_train.evaluate.results import Result
from vfi_train.evaluate.scorer import Scorer

SIZES = {  # that need padding, where layouts' own do not
    "vimeo90k": (60, 92), "ucf101": (60, 92), "atd12k": (60, 92), "davis": (60, 92), "xiph": (64, 96),
}  # fmt: skip
CLIPS = {"hd": 2, "vimeo_septuplet": 2}
CROP = [{"_target_": "datamodules.transforms.CenterCrop", "size": 32}]
OPTIONS: dict[str, dict[str, Any]] = {  # of benchmarks, for small images
    "xiph": {"frames": 5, "size": [32, 48]},
    "hd": {"size": [64, 96]},
    "gopro": {"val_transforms": CROP},
    "adobe240": {"val_transforms": CROP},
    "davis": {"val_transforms": []},
    "co3d": {"val_transforms": [], "packs": 3},
}


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each dataset, by its name in conf/data; to be read only."""

    class Roots(dict):
        def __missing__(self, name: str) -> Path:
            self[name] = fabricate(name, tmp_path_factory.mktemp(name), size=SIZES.get(name), clips=CLIPS.get(name))
            if name == "hd":  # one video of each size is shorter than the others
                for folder in self[name].iterdir():
                    video = min(folder.iterdir())
                    video.write_bytes(video.read_bytes()[: 5 * 64 * 96 * 3 // 2])
            return self[name]

    return Roots()


@pytest.fixture
def measured(
    roots: dict[str, Path], tmp_path: Path, scorer: Callable[..., Scorer], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Measure the toy network, named as a published one, on one split of a benchmark by a protocol."""
    monkeypatch.setattr(x4k1000fps, "SIZE_2K", (40, 56))
    options = read_options(composed(f"output={tmp_path}", "workers=2"))
    fabric = Fabric(accelerator="cpu", devices=1)

    def measure(protocol: str, model: str, benchmark: str, split: str) -> Result:
        settings = resolve(read_protocol(protocol), benchmark, split, model)
        data = configured("benchmark", benchmark).data
        found = read_benchmark(benchmark, str(roots[data]))
        given = {**found.dataset_options(split, settings.data, None), **OPTIONS.get(data, {})}
        source, notes = open_split(given)
        network = toy.KINDS[model]()
        config = {"_target_": f"tests.helpers.toy_benchmark.{model}"}
        evaluated_model = EvaluatedModel(model, model, config, None, network)
        job = Job(evaluated_model, found, split, settings, given, source, scorer(settings.metrics), notes)
        with set_up(network, settings):
            return run_job(job, options, fabric)

    return measure


@pytest.fixture(scope="session")
def scorer(request: pytest.FixtureRequest) -> Callable[..., Scorer]:
    """A scorer of these columns; making LPIPS' network takes a while."""
    made: dict[str, Scorer] = {}

    def make(metrics: dict[str, dict[str, Any]]) -> Scorer:
        if repr(metrics) not in made:
            names = ("backbones", "pristine") if "lpips_alex" in metrics else ()
            made[repr(metrics)] = Scorer(metrics, *map(request.getfixturevalue, names))
        return made[repr(metrics)]

    return make


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of NIQE's statistics in its published layout, made up."""
    import numpy as np

    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("niqe") / "niqe_pris_params.npz"
    taps = np.exp(-((np.arange(7) - 3.0) ** 2) / 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    np.savez(path, mu_pris_param=rng.random((1, 36)), cov_pris_param=np.eye(36), gaussian_window=window)
    return path
