"""`python -m vfi_train.search`: a study whose trials are ordinary runs, one after the other."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from datamodules.storage.atomic_write import is_process_alive
from vfi_train.config.compose import compose_config
from vfi_train.config.overrides import check_values, parse
from vfi_train.config.read_settings import read_settings
from vfi_train.config.replaced_choices import drop_options_of_replaced
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError, first_line, make_folder, nearest
from vfi_train.ranges import FileName, Natural, Positive, Text
from vfi_train.runtime.console import say
from vfi_train.search.space import read_space, suggest
from vfi_train.search.trial import run_trial
from vfi_train.training.plan import run_name

if TYPE_CHECKING:
    import optuna

HOST, PROCESS = "host", "process"  # of a running trial: whether it was left behind


@dataclass(frozen=True)
class Settings:
    """The keys of `search` in conf/search.yaml, which explains them."""

    study: FileName
    trials: Positive
    storage: Text | None
    monitor: Text
    direction: Literal["maximize", "minimize"]
    sampler: str
    prune: bool
    startup: Natural
    space: list[str]


def search(config: DictConfig) -> None:
    """Run trials until there are `search.trials`; go on with a study that was stopped, with the trial that it was at.

    Raises:
        UserError: a setting, or a trial's configuration, is not valid; trials keep failing.
    """
    import optuna
    from optuna.trial import TrialState

    s = read_settings(Settings, config.search, "search.")
    space = read_space(s.space)
    fixed = [
        str(o.input_line) for o in parse(HydraConfig.get().overrides.task) if not o.key_or_group.startswith("search.")
    ]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_trial([*fixed, *suggest(optuna.create_study().ask(), space)])  # a mistake is reported before there is a study
    study = open_study(s, Path(config.runs))
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # through `run_trial`, which ends its run
    failures = 0
    while True:
        trial = next_trial(study, s.trials)
        if trial is None:
            break
        overrides = [*fixed, *suggest(trial, space), f"name={_name(config.name, s.study, trial.number)}"]
        try:
            folder = Path(config.runs) / check_trial(overrides)
            say(f"trial {trial.number + 1} of {s.trials}: {' '.join(suggest(trial, space))}")
            failures = 0 if run_trial(study, trial, overrides, folder, s.monitor, s.direction) else failures + 1
        except UserError:
            study.tell(trial, state=TrialState.FAIL)
            raise
        if failures == 3:
            raise UserError(f"three trials in a row failed; the last one's messages are in {folder}/trial.log")
    describe(study, fixed)


def open_study(s: Settings, runs: Path) -> optuna.Study:
    """The study of this name, made if there is none.

    Raises:
        UserError: its storage cannot be opened, or it has another direction.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    sampler = getattr(optuna.samplers, s.sampler, None)
    if sampler is None:
        known = [name for name in optuna.samplers.__all__ if name.endswith("Sampler")]
        raise UserError(f"search.sampler={s.sampler} is none of optuna.samplers: {nearest(s.sampler, known)}")
    if s.storage is None:
        make_folder(runs, "runs")
    pruner = optuna.pruners.MedianPruner(n_startup_trials=s.startup) if s.prune else optuna.pruners.NopPruner()
    storage = s.storage or f"sqlite:///{runs / s.study}.sqlite3"
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=s.study,
            direction=s.direction,  # type: ignore[arg-type]
            sampler=sampler(),
            pruner=pruner,
            load_if_exists=True,
        )
    except (SQLAlchemyError, ImportError) as error:  # ImportError: the driver of a database
        raise UserError(
            f"search.storage={storage} cannot be opened ({first_line(error)}): give sqlite:///FILE"
        ) from error
    if study.direction.name.lower() != s.direction:
        raise UserError(f"the study {s.study} has the direction {study.direction.name.lower()}: give it another name")
    return study


def next_trial(study: optuna.Study, count: int) -> optuna.Trial | None:
    """A trial that a process of this machine left behind, else a new one; None: there are enough."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    for frozen in trials:
        owner = frozen.user_attrs
        is_ours = frozen.state.name == "RUNNING" and owner.get(HOST) == socket.gethostname()
        if is_ours and not is_process_alive(owner[PROCESS]):
            trial = optuna.Trial(study, frozen._trial_id)
            break
    else:
        if sum(frozen.state.name != "FAIL" for frozen in trials) >= count:
            return None
        trial = study.ask()
    trial.set_user_attr(HOST, socket.gethostname())
    trial.set_user_attr(PROCESS, os.getpid())
    return trial


def check_trial(overrides: list[str]) -> str:
    """The name of a trial's run.

    Raises:
        UserError: its configuration has a mistake, which is reported before the run begins.
    """
    config = compose_config("train", overrides, with_hydra=True)
    check_values(config, overrides, "train")
    drop_options_of_replaced(config, overrides)
    choices = config.hydra.runtime.choices
    with open_dict(config):
        del config["hydra"]
    check_targets(config)
    return run_name(config, choices)


def describe(study: optuna.Study, fixed: list[str]) -> None:
    """The best trial, and the command that trains like it."""
    complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    pruned = sum(t.state.name == "PRUNED" for t in study.get_trials(deepcopy=False))
    if not complete:
        say(f"{study.study_name}: no trial came to its end")
        return
    best = study.best_trial
    found = [f"{key}={value}" for key, value in best.params.items()]
    say(f"{study.study_name}: {len(complete)} trials to their end, {pruned} stopped early")
    say(f"best: {best.value:.4f}, trial {best.number + 1}: {' '.join(found)}")
    say(f"next: python -m vfi_train {shlex.join([*fixed, *found])}")


def _name(name: Any, study: str, number: int) -> str:
    return "-".join([*([] if name is None else [str(name)]), study, f"{number:03d}"])
