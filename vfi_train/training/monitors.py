"""Values that decide which checkpoint is best, or when to stop: known before the first step, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import lightning as L

from vfi_train.callbacks.validation_metrics import ValidationMetrics
from vfi_train.callbacks.weight_average import WeightAverage
from vfi_train.errors import UserError, nearest
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.training.plan import TrainingPlan

KNOWN_MODULES = ("vfi_train.", "lightning.")  # whose callbacks log only what is known here


def check_monitors(plan: TrainingPlan, trainer: L.Trainer, module: InterpolationModule) -> None:
    """Check that each `callbacks.*.monitor` names a value that is logged by the first validation.

    Where none of our callbacks is known to log it, one validation batch is run before the first step, which shows what
    others log.

    Raises:
        UserError: naming the key and what is logged, or the mode that would keep the worst.
    """
    blocks = {f"callbacks.{key}": block for key, block in plan.config["callbacks"].items() if block}
    monitors = {f"{key}.monitor": str(block["monitor"]) for key, block in blocks.items() if block.get("monitor")}
    if not monitors or trainer.limit_val_batches == 0:
        return
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    averages = [callback for callback in callbacks if isinstance(callback, WeightAverage)]
    split = plan.config["data"].get("val_split")
    sets = [] if not isinstance(split, Mapping) or "_target_" in split else list(split)  # see `Joint`
    validated = {
        f"val/{name}{suffix}": "max" if metric.higher_is_better else "min"
        for callback in callbacks
        if isinstance(callback, ValidationMetrics)
        for name, metric in callback.metrics.items()
        for suffix in ("", *(f"_{average.name}" for average in averages), *(f"_{name}" for name in sets))
    }
    trained = {"train/loss", "train/gradient_norm", "train/lr"}
    trained |= {f"train/loss_{name}" for name, _ in module.loss.named_terms()}
    has_others = any(not type(callback).__module__.startswith(KNOWN_MODULES) for callback in callbacks)
    for key, name in monitors.items():
        if name in validated:
            _check_average(plan, key, name, averages)
            _check_mode(key, name, blocks[key.removesuffix(".monitor")].get("mode"), validated[name])
        elif name.startswith("train/"):
            if name not in trained and not has_others:
                raise _not_logged(key, name, trained)
        else:
            trainer.num_sanity_val_steps = 1
            callbacks.append(_LoggedNames(key, name, set(validated)))


class _LoggedNames(L.Callback):
    """Ends the run before its first step where the validation batch before it does not log a name."""

    def __init__(self, key: str, name: str, known: set[str]) -> None:
        self.key, self.name, self.known = key, name, known

    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look for the name."""
        if self.name not in trainer.callback_metrics:
            raise _not_logged(self.key, self.name, {*self.known, *trainer.callback_metrics} - {"step"})


def _check_average(plan: TrainingPlan, key: str, name: str, averages: Iterable[WeightAverage]) -> None:
    every = plan.validate_every
    for average in averages:
        if name.endswith(f"_{average.name}") and every is not None and average.start_step >= every:
            raise UserError(
                f"{key}={name} is logged from step {average.start_step + 1} on, when the average begins, and the first "
                f"validation is at step {every}: monitor {name.removesuffix(f'_{average.name}')}, or begin earlier"
            )


def _check_mode(key: str, name: str, mode: str | None, better: str) -> None:
    if mode in ("max", "min") and mode != better:
        other = key.replace(".monitor", ".mode")
        raise UserError(f"{key}={name} with {other}={mode} would keep the worst: give {other}={better}")


def _not_logged(key: str, name: str, known: Iterable[str]) -> UserError:
    return UserError(f"{key}={name} is not logged: {nearest(name, known)}")
