"""conf/schema.json: what the code says, true for every experiment, and false for mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import conf
from vfi_train.config.schema import make_schema

CONF = Path(str(conf.__file__)).parent
SCHEMA = json.loads((CONF / "schema.json").read_text())


def errors(experiment: dict[str, Any]) -> list[str]:
    return ["/".join(map(str, e.absolute_path)) for e in jsonschema.Draft7Validator(SCHEMA).iter_errors(experiment)]


def test_it_is_made_from_the_code() -> None:
    assert make_schema() == SCHEMA, "python -m vfi_train.config.schema > conf/schema.json"


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_it_takes_every_experiment(path: Path) -> None:
    assert errors(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize(
    ("experiment", "place"),
    [
        ({"trainer": {"max_stepss": 5}}, "trainer"),
        ({"seeed": 5}, ""),
        ({"data": {"batch_size": 0}}, "data/batch_size"),
        ({"data": {"batch_size": "many"}}, "data/batch_size"),
        ({"schedule": {"warmup_steps": -1}}, "schedule/warmup_steps"),
        ({"loss": {"terms": {"census": {"patch": "large"}}}}, "loss/terms/census"),
        ({"defaults": [{"override /model": "ifrnet_tinny"}]}, "defaults/0"),
        ({"deterministic": 3}, "deterministic"),
    ],
)
def test_it_finds_mistakes(experiment: dict[str, Any], place: str) -> None:
    assert any(found == place or found.startswith(f"{place}/") for found in errors(experiment)), errors(experiment)


def test_classes_from_elsewhere_pass() -> None:
    assert errors({"model": {"_target_": "my.Network", "width": 3}, "optimizer": {"_target_": "my.SGD", "x": 1}}) == []
