"""Every loss set of conf/loss composes into terms that their signatures allow."""

from __future__ import annotations

from pathlib import Path

import pytest

import conf
from tests.helpers.loss_sets import loss_config
from vfi_train.config.targets import check_targets

NAMES = sorted(path.stem for path in (Path(conf.__file__).parent / "loss").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_set_suits_its_terms(name: str) -> None:
    config = loss_config(name)
    check_targets(config)
    assert config.terms
