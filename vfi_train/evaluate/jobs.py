"""What there is to do: each network on each part of each benchmark, looked over before anything is computed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from datamodules.core.samples import SampleSource
from vfi_train.architectures import Architecture
from vfi_train.config.selection import chosen
from vfi_train.errors import UserError
from vfi_train.evaluate.benchmarks import Benchmark, scored_options
from vfi_train.evaluate.networks import Subject
from vfi_train.evaluate.protocol import Protocols, Settings, resolve
from vfi_train.evaluate.results import Result
from vfi_train.evaluate.resume_log import Journal
from vfi_train.evaluate.scorer import Scorer


@dataclass
class Task:
    """A network, a part of a benchmark, and how it is measured there.

    Args:
        subject, model: the network.
        benchmark, split: the part.
        settings: of the protocol.
        options: of the dataset.
        source: its samples.
        scorer: of the protocol's columns.
        notes: what must be known of the result.
    """

    subject: Subject
    model: Architecture
    benchmark: Benchmark
    split: str
    settings: Settings
    options: dict[str, Any]
    source: SampleSource
    scorer: Scorer
    notes: list[str]

    @property
    def name(self) -> str:
        """For the user."""
        return f"{self.subject.label} on {self.benchmark.name}/{self.split}"

    def journal(self, folder: Path, device: str, precision: str, process: int) -> Journal:
        """Where its rows are kept."""
        identity = {
            **self.subject.identity(),
            "benchmark": f"{self.benchmark.name}/{self.split}",
            "data": scored_options(self.options),
            "samples": len(self.source),
            "settings": self.settings.as_dict(),
            "device": device,
            "precision": precision,
        }
        return Journal(folder, safe(f"{self.subject.label}-{self.benchmark.name}-{self.split}"), identity, process)

    def result(self, device: str, precision: str) -> Result:
        """An empty result."""
        count = self.benchmark.config.count
        return Result(
            label=self.subject.label,
            model=self.subject.name,
            model_config=self.subject.config,
            weights=self.subject.weights,
            weights_file=None if self.subject.file is None else str(self.subject.file),
            weights_sha256=self.subject.sha256,
            benchmark=self.benchmark.name,
            title=str(self.benchmark.config.title),
            split=self.split,
            protocol=self.settings.protocol,
            settings=self.settings.as_dict(),
            data=scored_options(self.options),
            expected=None if count is None else int(count),
            asked=len(self.source),
            sequence_parts=self.benchmark.config.sequence,
            precision=precision,
            device=device,
            notes=list(self.notes),
        )


def tasks(config: DictConfig, found: list[Subject], wanted: list[Benchmark]) -> list[Task]:
    """Every network on every part, in the order of the networks.

    Raises:
        UserError, DataError: weights, samples or files of a metric that are not there, a protocol that does not
            measure a benchmark, or a dataset of times that a network cannot be asked for.
    """
    names = chosen("protocol")
    if len(names) > 1:
        raise UserError(f"protocol lists {len(names)}: give one, and compare=[FOLDER] for results by another")
    protocols = Protocols(names[0] if names else None)
    change = OmegaConf.to_container(config.override, resolve=True)
    assert isinstance(change, dict)
    metrics = None if config.metrics is None else list(config.metrics)
    scorers: dict[str, Scorer] = {}
    listed = []
    for subject in found:
        model = subject.build()
        for benchmark in wanted:
            protocol = protocols.of(subject.name, benchmark.name)
            for split in benchmark.splits:
                settings = resolve(protocol, benchmark.name, split, subject.name, change, metrics)  # type: ignore[arg-type]
                options = benchmark.options(split, settings.data, config.samples)
                columns = repr(settings.metrics)
                if columns not in scorers:
                    scorers[columns] = Scorer(settings.metrics, config.backbones, config.niqe_parameters)
                source, notes = benchmark.open(options)
                task = Task(subject, model, benchmark, split, settings, options, source, scorers[columns], notes)
                listed.append(task)
    return listed


def safe(name: str) -> str:
    """A name for a folder."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("_")
