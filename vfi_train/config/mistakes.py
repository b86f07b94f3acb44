"""Which exceptions are mistakes of the user, and the sentence of each; any other is a bug."""

from __future__ import annotations

import errno
import re
import subprocess
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from vfi_train.config.overrides import compose_files, group_choices, parse
from vfi_train.errors import UserError, first_line, is_disk_full, nearest

HYDRA_CALLS = ("hydra._internal.instantiate.", "hydra._internal.target_policy")  # modules that call a target


def explain(error: BaseException, overrides: Sequence[str], config_name: str) -> str | None:
    """A mistake of the user in one sentence; None for a bug.

    Args:
        error: of our own classes, Hydra's or OmegaConf's, a full disk, a file name that is too long, or an option that
            Lightning or torch does not accept; anything else is a bug.
        overrides: of the command line.
        config_name: the file of `conf` that they override.
    """
    key, cause = find_cause(error)
    if cause is not error:
        said = explain(cause, overrides, config_name)
        return f"{key}: {said}" if said and key else said
    if _is_no_cluster(error):
        return (
            f"hydra/launcher=slurm could not submit the jobs ({first_line(error)}): give the command on a machine of "
            "a SLURM cluster, or without hydra/launcher, which runs the jobs here, one after the other"
        )
    if library := _refusing_library(error):
        return f"{library} does not accept an option: {first_line(error)}"
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, RuntimeError) and re.match(r"DataLoader worker .*(exited unexpectedly|Killed)", str(error)):
        return (
            f"a process that reads data was killed ({first_line(error)}), usually because the memory was full: give "
            "fewer data.num_workers=... or a smaller data.batch_size=..., and the same command resumes"
        )
    if is_disk_full(error):
        return (
            f"the disk is full ({error}): what was saved before is complete; make room and give the same command again"
        )
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = max(Path(str(error.filename)).parts, key=len)
        return f"the name {name} is longer than the file system takes: give a shorter one"
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _explain_config(error, overrides, config_name)
    return None


@contextmanager
def naming_phase(name: str, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Name a phase of a curriculum in a mistake of the user.

    Raises:
        UserError: in place of any mistake that `explain` knows.
    """
    try:
        yield
    except Exception as error:
        message = explain(error, overrides, "train")
        if message is None:
            raise
        raise UserError(f"phase {name}: {message}") from error


def find_cause(error: BaseException) -> tuple[str, BaseException]:
    """What a constructor raised that Hydra called, and the key of its block; other errors as they are, without key."""
    keys = []
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        keys += re.findall(r"\nfull_key: (\S+)\s*\Z", str(error))
        error = error.__cause__
    return ".".join(keys), error


def _refusing_library(error: BaseException) -> str | None:
    """The library whose class Hydra called and that raised before any code of ours or a user's ran: it got options."""
    if not isinstance(error, (ValueError, TypeError, ImportError)) and not type(error).__module__.startswith(
        "lightning."
    ):
        return None
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    calls = [i for i, module in enumerate(modules) if module.startswith(HYDRA_CALLS)]
    libraries = {module.partition(".")[0] for module in modules[calls[-1] + 1 :]} if calls else set()
    return libraries.pop() if len(libraries) == 1 and libraries <= {"lightning", "torch"} else None


def _is_no_cluster(error: BaseException) -> bool:
    """Whether submitit found no SLURM, or SLURM's commands failed."""
    refused = type(error).__module__.startswith("submitit.") and isinstance(error.__cause__, subprocess.SubprocessError)
    return refused or (isinstance(error, RuntimeError) and str(error).startswith('Could not detect "srun"'))


def _explain_config(error: BaseException, overrides: Sequence[str], config_name: str) -> str:
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as KEY=VALUE: {first_line(error)}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if choice.startswith("submitit"):
            return "hydra/launcher=slurm needs the package hydra-submitit-launcher: pip install -e '.[slurm]'"
        return f"there is no {group}={choice}: {nearest(choice, error.options or group_choices(group))}"
    text = str(error)
    if "Ambiguous value" in text:
        return f"{first_line(error)}: add --multirun to sweep over the values, or write KEY=[...] for a list"
    missing = re.search(r"You must specify '(\w+)'|Missing mandatory value: (\S+)", text)
    if missing:
        key = missing.group(1) or missing.group(2)
        choices = group_choices(key)
        return f"{key}=... is needed and was not given" + (f": {nearest('', choices)}" if choices else "")
    if text.startswith("Error merging override") and error.__cause__ is not None:
        return f"{first_line(error)}: {first_line(error.__cause__)}"
    if isinstance(error, InterpolationResolutionError):
        if (said := _own_error(error)) is not None:
            return f"{error.full_key}: {said}"
        return f"{error.full_key}: {first_line(error)}: give a value, or ${{KEY}} of a key that exists"
    unknown = re.search(r"Could not override '([^']+)'|Key '([^']+)' is not in struct", text)
    group = (unknown[1] or unknown[2]).partition(".")[0] if unknown else ""
    if any(o.is_delete() and o.key_or_group == group for o in parse(overrides)):
        return f"{group} is left out, and is needed: give {group}=NAME, {nearest('', group_choices(group))}"
    below = re.search(r"is not in struct\s+full_key: (\S+)", f"{text} {error.__cause__}")  # of a block given as one
    key = below[1] if below else unknown and unknown[1]
    return _explain_unknown_key(key, overrides, config_name) if key else first_line(error)


def _own_error(error: BaseException | None) -> UserError | None:
    """What a resolver of ours raised, which OmegaConf has wrapped."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def _explain_unknown_key(key: str, overrides: Sequence[str], config_name: str) -> str:
    parent, _, last = key.rpartition(".")
    config = compose_files(overrides, config_name)
    block = OmegaConf.select(config, parent, throw_on_missing=False) if parent else config
    if not isinstance(block, DictConfig):
        return f"there is no key {key!r}: {parent!r} has no keys below it"
    known = [str(name) for name in block if not str(name).startswith("_")]
    return f"there is no key {last!r} in {parent or 'the configuration'}: {nearest(last, known)}"
