"""The space of a search, in Hydra's words: `KEY=interval(1e-4, 1e-2)`, `KEY=choice(a, b)`, `KEY=range(2, 9)`.

`tag(log, interval(...))` draws on a logarithmic scale and `int(interval(...))` whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException

from vfi_train.config.overrides import parse
from vfi_train.errors import UserError

if TYPE_CHECKING:
    import optuna

KEY = "search.space"


def collect_space(arguments: Sequence[str]) -> list[str]:
    """The command line with its sweeps as strings in `search.space`, so that the rest is an ordinary configuration."""
    sweeps = [argument for argument in arguments if _is_sweep(argument)]
    if not sweeps:
        return list(arguments)
    quoted = ",".join("'" + sweep.replace("'", "\\'") + "'" for sweep in sweeps)
    return [*(argument for argument in arguments if argument not in sweeps), f"{KEY}=[{quoted}]"]


def read_space(sweeps: Sequence[str]) -> dict[str, Override]:
    """The sweeps by their keys.

    Raises:
        UserError: there are none, or an interval is empty.
    """
    if not sweeps:
        raise UserError(
            "there is nothing to search for: give at least one KEY=interval(LOW, HIGH), KEY=choice(A, B) or "
            "KEY=range(FIRST, END)"
        )
    space = {override.key_or_group: override for override in parse(sweeps)}
    for key, override in space.items():
        sweep: Any = override.value()
        if isinstance(sweep, IntervalSweep):
            low, high = float(sweep.start or 0), float(sweep.end or 0)
            if low >= high or ("log" in sweep.tags and low <= 0):
                raise UserError(
                    f"{override.input_line} is an empty interval: {key} needs 0 < LOW < HIGH on a log scale"
                )
    return space


def suggest(trial: optuna.Trial, space: dict[str, Override]) -> list[str]:
    """A trial's overrides, drawn by its study's sampler."""
    return [f"{key}={_suggest(trial, key, override)}" for key, override in space.items()]


def _suggest(trial: optuna.Trial, key: str, override: Override) -> Any:
    sweep = override.value()
    if not isinstance(sweep, IntervalSweep):
        return trial.suggest_categorical(key, list(override.sweep_string_iterator()))
    log = "log" in sweep.tags
    if isinstance(sweep.start, int) and isinstance(sweep.end, int):
        return trial.suggest_int(key, sweep.start, sweep.end, log=log)
    return trial.suggest_float(key, float(sweep.start or 0), float(sweep.end or 0), log=log)


def _is_sweep(argument: str) -> bool:
    try:
        return parse([argument])[0].is_sweep_override()
    except HydraException:
        return False  # no override, or one that is explained later
