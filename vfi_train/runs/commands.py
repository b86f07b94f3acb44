"""The commands that go on with an entry, evaluate it and export it."""

from __future__ import annotations

import json
import re
import shlex

from vfi_train.config.overrides import benchmark_of, search_path
from vfi_train.evaluate.results import FILE
from vfi_train.runs.entries import CONFIG, Entry, look_up, recorded_words

HEAD = 20_000  # characters of results.json, near whose beginning its command stands


def commands(entry: Entry) -> dict[str, str]:
    """By what it does: "go on", "evaluate", "export"; without what cannot be said of it."""
    return _of_training(entry) if entry.kind == "training" else _of_evaluation(entry)


def _of_training(entry: Entry) -> dict[str, str]:
    words = recorded_words(entry.path)
    search = search_path(words)
    found = {}
    if words and entry.status != "finished":
        found["go on"] = _command("vfi_train", *words)
    found["evaluate"] = _command("vfi_train.evaluate", *search, f"run={entry.path}", *_benchmark(entry))
    options = [word for word in words if re.match(r"\+*model\.", word)]
    name = entry.name.replace("/", "-")
    return found | {"export": _export(entry.model, str(entry.path), name, *search, *options)}


def _of_evaluation(entry: Entry) -> dict[str, str]:
    with (entry.path / FILE).open() as file:
        recorded = re.search(r'"command": ("(?:[^"\\]|\\.)*")', file.read(HEAD))
    found = {"evaluate": json.loads(recorded[1])} if recorded else {}
    return found | ({"export": _export(entry.model, entry.weights, entry.path.name)} if entry.weights else {})


def _export(model: str, weights: str, name: str, *more: str) -> str:
    output = (f"output={name}.safetensors", "format=safetensors")
    return _command("vfi_train.export", *more, f"model={model}", f"weights={weights}", *output)


def _benchmark(entry: Entry) -> list[str]:
    """The benchmark of the dataset of a training, else the user's own videos."""
    text = (entry.path / CONFIG).read_text()
    module = str(look_up(text, "data", "_target_")).split(".")[-2]
    return benchmark_of(module, look_up(text, "data", "root"))


def _command(program: str, *words: str) -> str:
    return shlex.join(["python", "-m", program, *words])
