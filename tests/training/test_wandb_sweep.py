"""The sweep that W&B steers: what its agent would call is a training."""

from __future__ import annotations

from pathlib import Path

import yaml
from hydra.core.hydra_config import HydraConfig

from tests.helpers.in_process import composed
from vfi_train.config.overrides import hydra_arguments
from vfi_train.config.targets import check_targets
from vfi_train.training.plan import run_name

SWEEP = yaml.safe_load((Path(__file__).parents[2] / "slurm" / "wandb_sweep.yaml").read_text())


def test_what_the_agent_calls_is_a_training() -> None:
    """`${args_no_hyphens}` is KEY=VALUE for each parameter."""
    chosen = {
        name: block["values"][0] if "values" in block else block["min"] for name, block in SWEEP["parameters"].items()
    }
    command = [word for word in SWEEP["command"] if word != "${args_no_hyphens}"]
    assert len(command) == len(SWEEP["command"]) - 1
    assert command[:3] == [".venv/bin/python", "-m", "vfi_train"]
    given = hydra_arguments([*command[3:], *(f"{name}={value}" for name, value in chosen.items())])
    config = composed(*given)
    check_targets(config)
    assert (config.optimizer.lr, config.data.batch_size, config.seed) == tuple(chosen.values())
    assert (
        run_name(config, HydraConfig.get().runtime.choices) == "ifrnet_vimeo-lr=2e-05-batch_size=8-seed=1"
    )  # each has a folder of its own
    assert SWEEP["metric"]["name"] == config.callbacks.best.monitor == "val/psnr"
    assert config.callbacks.best.mode == "max"
    assert SWEEP["metric"]["goal"] == "maximize"
