"""What a training is to do, decided once from its configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from datamodules.core.samplers import split_batch
from vfi_train.runtime.distributed import device_count, process_count
from vfi_train.training.options import value_at
from vfi_train.training.recipe import DataRecipe, LossRecipe, datasets, loss_terms, wandb_mode, weight_averages

Config = Mapping[str, Any]


@dataclass(frozen=True)
class TrainingPlan:
    """One training: a run of its own, or a phase of a curriculum.

    Attributes:
        name: EXPERIMENT[-NAME], or CURRICULUM/PHASE: its folder below `runs`, and what `weights=` calls it.
        config: the complete configuration, resolved, as plain containers; lengths in epochs are None until counted.
        experiment: the chosen experiment, if any.
        network: the name of the function that builds the network.
        resume: "auto", "never" or "force".
        weights: initial weights as `load_weights` takes them; None: random.
        optimizer_state: where the initial state of the optimizer comes from; None: it starts empty.
        steps: optimizer steps; None: counted from the data, see `with_epoch`.
        length: the same as it was written ("400 epochs", "trainer.max_steps=3000").
        later_steps: of the phases that follow.
        devices, num_nodes: `trainer.devices`, of each node, and the number of nodes.
        micro_batch_size: the largest batch that fits one device; None: any fits.
        averages: names of the averages of weights.
        best: mode ("max", "min") and name of the value whose best checkpoint is kept, if one is.
        wandb_mode: "auto", "online" or "offline"; None: W&B is not used.
        published: the block `published`: the source of the recipe.
        epoch_resolver: makes `config` from the optimizer steps of an epoch; None: no length is in epochs.
    """

    name: str
    config: Config
    experiment: str | None
    network: str
    runs: Path
    resume: str
    seed: int
    report: bool
    weights: str | None
    optimizer_state: str | None
    steps: int | None
    length: str
    later_steps: int
    validate_every: int | None
    checkpoint_every: int
    accelerator: str
    devices: str | int | Sequence[int]
    num_nodes: int
    precision: str
    batch_size: int
    micro_batch_size: int | None
    num_workers: int
    datasets: tuple[DataRecipe, ...]
    losses: tuple[LossRecipe, ...]
    averages: tuple[str, ...]
    best: tuple[str, str] | None
    wandb_mode: str | None
    published: Config | None
    epoch_resolver: Callable[[int], Config] | None

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.runs / self.name

    @property
    def device_count(self) -> int | None:
        """Devices over all nodes; None: as many as there are."""
        return device_count(self.devices, self.num_nodes)

    @property
    def process_count(self) -> int:
        """Processes over all nodes."""
        return process_count(self.accelerator, self.device_count)

    @property
    def batch_split(self) -> tuple[int, int]:
        """Samples per device and micro-batch, and micro-batches per optimizer step, of the first dataset.

        Raises:
            UserError: the batch does not divide.
        """
        return split_batch(self.batch_size, self.device_count or 1, self.micro_batch_size)

    @property
    def backbone_losses(self) -> tuple[str, ...]:
        """The names of the loss terms that read a file of pretrained weights."""
        return tuple(loss.name for loss in self.losses if loss.has_backbone)

    def with_epoch(self, steps_per_epoch: int) -> TrainingPlan:
        """The plan with its lengths in epochs as optimizer steps."""
        if self.epoch_resolver is None:
            return self
        config = self.epoch_resolver(steps_per_epoch)
        return dataclasses.replace(self, config=config, epoch_resolver=None, **_lengths(config))


def plan_training(
    config: Config,
    choices: Mapping[str, Any],
    name: str | None = None,
    length: str | None = None,
    epoch_resolver: Callable[[int], Config] | None = None,
) -> TrainingPlan:
    """The plan of a configuration.

    Args:
        config: resolved, as plain containers.
        choices: of configuration groups.
        name: of the run; None: `run_name`.
        length: `trainer.max_steps` as it was written, where that is a length in epochs.
        epoch_resolver: see `TrainingPlan`.
    """
    trainer, data, best = config["trainer"], config["data"], config["callbacks"].get("best")
    lengths = _lengths(config)
    return TrainingPlan(
        name=name or run_name(config, choices),
        config=config,
        experiment=choices.get("experiment"),
        network=get_object(config["model"]["_target_"]).__name__,
        runs=Path(str(config["runs"])),
        resume=config["resume"],
        seed=config["seed"],
        report=config["report"],
        weights=config["weights"],
        optimizer_state=config["optimizer_state"],
        length=length or f"trainer.max_steps={lengths['steps']}",
        later_steps=0,
        accelerator=str(trainer["accelerator"]),
        devices=trainer["devices"],
        num_nodes=trainer["num_nodes"],
        precision=str(trainer["precision"]),
        batch_size=data["batch_size"],
        micro_batch_size=data["micro_batch_size"],
        num_workers=data["num_workers"],
        datasets=datasets(data),
        losses=loss_terms(config["loss"]),
        averages=weight_averages(config["callbacks"]),
        best=None if best is None else (best["mode"], best["monitor"]),
        wandb_mode=wandb_mode(config["logger"]),
        published=config["published"],
        epoch_resolver=epoch_resolver,
        **lengths,
    )


def run_name(config: Config, choices: Mapping[str, Any]) -> str:
    """EXPERIMENT[-NAME][-what a sweep varies]; without an experiment, MODEL_DATA stands for it."""
    parts = [choices.get("experiment") or f"{choices['model']}_{choices['data']}"]
    if choices.get("debug"):
        parts.append(f"debug_{choices['debug']}")
    if config["name"] is not None:
        parts.append(str(config["name"]))
    for key in config["sweep"]:
        parts.append(f"{key.rpartition('.')[2]}={choices.get(key) or value_at(config, key)}")
    return "-".join(part.replace("/", "_") for part in parts)


def _lengths(config: Config) -> dict[str, Any]:
    return {
        "steps": config["trainer"]["max_steps"],
        "validate_every": config["validate_every"],
        "checkpoint_every": config["checkpoint_every"],
    }
