"""Frozen parts need weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.in_process import planned, train_tiny
from vfi_train.errors import UserError
from vfi_train.training.build import build_trainable
from vfi_train.training.frozen import check_frozen
from vfi_train.training.preflight import try_weights


@pytest.mark.parametrize(
    "overrides",
    [
        ("experiment=emavfi_small_t_co3d", "data.root=x", "trainer.max_steps=1", "validate_every=1"),
        ("experiment=rife_v4_25_finetune", "data.root=x"),
        ("experiment=quickstart", "freeze=['encoder.*']"),
        ("experiment=quickstart", "train=['decoder1.*']"),
    ],
)
def test_frozen_parts_that_were_never_loaded_are_refused(overrides: tuple[str, ...], tmp_path: Path) -> None:
    plan = planned(*overrides, f"runs={tmp_path}")
    with pytest.raises(UserError, match=r"parts of the network are frozen and were never loaded: .*give weights=FILE"):
        try_weights(plan)


@pytest.mark.parametrize(
    "overrides",
    [
        ("experiment=atmvfi_base_vimeo", "data.root=x"),  # its global branch is switched off in this phase
        ("experiment=quickstart", "freeze=['*.bias']"),  # zeros
        ("experiment=quickstart",),
    ],
)
def test_what_is_frozen_and_not_used_or_not_random_is_accepted(overrides: tuple[str, ...]) -> None:
    check_frozen(build_trainable(planned(*overrides)))


def test_a_training_refuses_before_its_folder_exists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="never loaded"):
        train_tiny(tmp_path, "trainer.max_steps=1", "freeze=['encoder.*']")
    assert not (tmp_path / "runs").exists()
    run = train_tiny(tmp_path, "trainer.max_steps=1", "freeze=['encoder.*']", "weights=ifrnet_tiny_synthetic")
    assert (run / "finished.json").is_file()
