"""From the command line to the exit status of a program: the same for all of them.

Only the standard library is imported at the top, so that a missing environment is reported too.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any, NoReturn, cast

EXIT_BUG, EXIT_MISTAKE = 1, 2
OUR_PACKAGES = ("vfi_train", "datamodules", "losses", "conf")
AFTER_CTRL_C = {
    "train": "the same command resumes from the last checkpoint",
    "evaluate": "the same command goes on with what is not measured yet",
    "prepare": "what is complete stays, and the same command makes the rest",
}
DEBUG = "VFI_TRAIN_DEBUG"  # environment variable of debug=true, which the processes that this one starts inherit


def run(config_name: str, entry: str, patterns_of: str | None = None) -> None:
    """Compose `conf/CONFIG_NAME.yaml` with the command line's overrides and call `entry` ("module:function") on it.

    Ends the process: 0 when all went well, 2 after a mistake of the user, reported in one sentence, 1 after a bug,
    reported with its traceback.

    Args:
        config_name: a file of `conf`.
        entry: what gets the configuration.
        patterns_of: a config group whose choices may be given by patterns (`model=amt*`).
    """
    try:
        _run(config_name, entry, patterns_of)
    except KeyboardInterrupt:
        _stop(f"interrupted: {AFTER_CTRL_C.get(config_name, 'nothing is left half-written')}", 130)
    except Exception as error:
        _report(error, config_name)


def _run(config_name: str, entry: str, patterns_of: str | None) -> None:
    sys.argv[1:] = _take_debug(sys.argv[1:])

    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf

    from vfi_train.config.overrides import check_values, hydra_arguments

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of Hydra's own report
    failure: Exception | None = None

    @hydra.main(config_path="pkg://conf", config_name=config_name, version_base="1.3")
    def task(config: DictConfig) -> Any:
        module, _, function = entry.partition(":")
        nonlocal failure
        try:
            given: Any = OmegaConf.to_container(HydraConfig.get().overrides, resolve=False)
            check_values(config, [*given["hydra"], *given["task"]], config_name)
            return getattr(importlib.import_module(module), function)(config)  # for sweepers
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # launchers carry errors of jobs themselves
            failure = error  # Hydra would print a report of its own
        except BaseException as error:
            _exit_if_stopped(error)
            raise

    sys.argv[1:] = hydra_arguments(sys.argv[1:], patterns_of)
    task()
    if failure is not None:
        raise failure


def explain_import(error: ImportError) -> str | None:
    """What a missing library means for the user, in one sentence; None if an import of somebody's own code failed."""
    text = str(error)
    if ".so" in text and ("GL" in text or "cv2" in text or "glib" in text or "libX" in text):
        return (
            f"OpenCV cannot be loaded ({text}): install the system library (on Debian: apt-get install libgl1 "
            "libglib2.0-0), or swap opencv-python for opencv-python-headless"
        )
    if not isinstance(error, ModuleNotFoundError) or (error.name or "").partition(".")[0] in OUR_PACKAGES:
        return None
    importers = [
        str(frame.f_globals.get("__name__"))
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "importlib" not in frame.f_code.co_filename
    ]
    if importers and importers[-1].partition(".")[0] not in (*OUR_PACKAGES, "__main__"):
        return None
    return (
        f"the package {error.name!r} is missing in this Python ({sys.executable}): run `make env` in the project's "
        "folder and use .venv/bin/python"
    )


def _report(error: Exception, config_name: str) -> NoReturn:
    """Report a mistake in one sentence, a bug with its traceback, and end the process."""
    key, cause = "", cast(BaseException, error)
    if isinstance(error, ImportError):
        sentence = explain_import(error)
    else:
        from vfi_train.config.mistakes import explain, find_cause
        from vfi_train.config.overrides import is_override

        key, cause = find_cause(error)
        sentence = explain(error, [a for a in sys.argv[1:] if is_override(a)], config_name)
    if sentence is None:
        traceback.print_exception(cause)
        where, first_line = key and f"{key}: ", (str(cause).splitlines() or [""])[0]
        _stop(f"{where}{type(cause).__name__}: {first_line} (a bug: its traceback is above)", EXIT_BUG)
    if DEBUG in os.environ:
        traceback.print_exception(error)
    _stop(sentence, EXIT_MISTAKE)


def _take_debug(arguments: list[str]) -> list[str]:
    """The arguments without the switch `debug=true`, which stands beside the presets `debug=NAME`."""
    if any(argument.lower() == "debug=true" for argument in arguments):
        os.environ[DEBUG] = "1"
    return [argument for argument in arguments if argument.lower() not in ("debug=true", "debug=false")]


def _exit_if_stopped(error: BaseException) -> None:
    """After a signal, exit with the status of programs that it kills. The first of several processes reports it."""
    stopping = sys.modules.get("vfi_train.runtime.stop_signals")
    if stopping is None or not isinstance(error, stopping.Stopped):
        return
    from vfi_train.runtime.console import is_first_process, say

    say(str(error))
    sys.exit(128 + error.number if is_first_process() else 0)


def _stop(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        os._exit(code)  # an orderly exit may wait for processes that are gone
    sys.exit(code)
