"""What all programs share: a configuration from the command line, and mistakes told in one sentence.

Only the standard library is imported at the top, so that a missing environment can be told too.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any, NoReturn

EXIT_MISTAKE = 2  # the user can mend it
OUR_PACKAGES = ("vfi_train", "datamodules", "losses", "conf")
EXIT_FAULT = 1  # a bug, or the machine


def run(config_name: str, entry: str) -> None:
    """Compose `conf/CONFIG_NAME.yaml` with the command line's overrides and call `entry` ("module:function") on it.

    Ends the process: 0 when all went well, 2 after a mistake of the user, told in one sentence.
    """
    sys.argv[1:] = [_debug_switch(argument) for argument in sys.argv[1:]]
    show_traceback = "traceback=true" in sys.argv
    try:
        _run(config_name, entry)
    except ImportError as error:
        if show_traceback or (error.name or "").partition(".")[0] in OUR_PACKAGES:
            raise
        _stop(explain_import(error))
    except KeyboardInterrupt:
        _stop("interrupted: the same command goes on from the last checkpoint", 130)
    except Exception as error:
        message = _explain(error, config_name)
        if show_traceback or message is None:
            traceback.print_exc()
        _stop(message or f"{type(error).__name__}: {error}", EXIT_MISTAKE if message else EXIT_FAULT)


def _run(config_name: str, entry: str) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import DictConfig

    from vfi_train.config.mistakes import check_values, note_sweep

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of Hydra's own report

    @hydra.main(config_path="pkg://conf", config_name=config_name, version_base="1.3")
    def task(config: DictConfig) -> None:
        module, _, function = entry.partition(":")
        try:
            given = HydraConfig.get().overrides
            check_values(config, [*given.hydra, *given.task], config_name)
            getattr(importlib.import_module(module), function)(config)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # launchers carry errors of jobs themselves
            raise _Failure(error) from None
        except BaseException as error:
            _end_if_stopped(error)
            raise

    sys.argv[1:] = note_sweep(sys.argv[1:])
    try:
        task()
    except _Failure as failure:
        raise failure.error from None


class _Failure(BaseException):
    """Carries an error past Hydra, which would print its own report of an Exception."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _explain(error: Exception, config_name: str) -> str | None:
    """One sentence for a mistake that the user can mend; None for anything else."""
    from vfi_train.config.mistakes import explain

    return explain(error, [a for a in sys.argv[1:] if not a.startswith("-")], config_name)


def explain_import(error: ImportError) -> str:
    """What an import that failed means for the user, in one sentence."""
    text = str(error)
    if ".so" in text and ("GL" in text or "cv2" in text or "glib" in text or "libX" in text):
        return (
            f"OpenCV cannot be loaded ({text}): install the system library (on Debian: apt-get install libgl1 "
            "libglib2.0-0), or swap opencv-python for opencv-python-headless"
        )
    name = error.name or text
    return (
        f"the package {name!r} is missing in this Python ({sys.executable}): run `make env` in the project's folder "
        "and use .venv/bin/python"
    )


def _debug_switch(argument: str) -> str:
    """`debug=true` is a switch beside the presets `debug=NAME`."""
    return {"debug=true": "traceback=true", "debug=false": "traceback=false"}.get(argument.lower(), argument)


def _end_if_stopped(error: BaseException) -> None:
    """After a signal, end as programs do that it kills. The first of several processes speaks for all."""
    stopping = sys.modules.get("vfi_train.runtime.stop_signals")
    if stopping is None or not isinstance(error, stopping.Stopped):
        return
    from vfi_train.runtime.console import is_first_process, say

    say(str(error))
    sys.exit(128 + error.number if is_first_process() else 0)


def _stop(message: Any, code: int = EXIT_MISTAKE) -> NoReturn:
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        os._exit(code)  # an orderly exit may wait for processes that are gone
    sys.exit(code)
