"""TensorBoard instead of W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from vfi_train.errors import UserError


class TensorBoardLog(TensorBoardLogger):
    """Writes events to the folder `tensorboard` of a run; a resumed run adds to them.

    Args:
        directory: the run's folder.

    Raises:
        UserError: the package is not installed.
    """

    def __init__(self, directory: str | Path) -> None:
        try:
            super().__init__(save_dir=str(directory), name="tensorboard", version="", default_hp_metric=False)
        except ModuleNotFoundError as error:
            raise UserError(
                "logger=tensorboard needs the package tensorboard: run `.venv/bin/pip install tensorboard`, or "
                "use another logger (metrics.csv is always written)"
            ) from error

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The configuration as a text; TensorBoard's own table of hyperparameters takes only numbers."""
        import yaml

        text = yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True)
        self.experiment.add_text("config", f"```yaml\n{text}```")
