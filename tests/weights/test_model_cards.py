"""docs/models.md and the cards of shipped weights: every network, and the terms of its weights."""

from __future__ import annotations

import re
from pathlib import Path

from vfi_train.architectures import create_model, list_models
from vfi_train.weights import list_shipped
from vfi_train.weights.load import shipped_folder

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
UNPUBLISHED = {  # networks that nobody has published weights for
    "ifrnet_context", "ifrnet_tiny", "rife_v4_25_tiny", "rife_2r", "rife_m", "atm_vfi_base_t", "atm_vfi_lite_t",
    "amt_s_dr_v0", "amt_s_dr_v2",
}  # fmt: skip


def rows() -> list[list[str]]:
    section = PAGE.read_text().partition("## Published weights")[2]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(row: list[str]) -> list[str]:
    return re.findall(r"`(\w+)`", row[0])


def test_every_network_has_a_row() -> None:
    section = PAGE.read_text().partition("## Published weights")[0]
    found = re.findall(r"^\| `(\w+)`", section, re.M)
    assert found == list_models(), "python -m benchmarks.models renews the tables of docs/models.md and README.md"
    readme = (PAGE.parents[1] / "README.md").read_text()
    assert [name for name in list_models() if f"`{name}`" not in readme] == []


def test_every_published_network_has_its_terms() -> None:
    listed = {name for row in rows() for name in names(row)}
    assert listed == set(list_models()) - UNPUBLISHED, (
        "a network is listed in docs/models.md below `Published weights`, or in UNPUBLISHED here"
    )
    for row in rows():
        assert len(row) == 6
        assert re.search(r"MIT|Apache-2\.0|CC BY-NC 4\.0|BSD", row[5]), row


def test_amt_is_not_for_commercial_use() -> None:
    found = [row for row in rows() if any(name.startswith("amt") for name in names(row))]
    assert len(found) == 3
    assert all("CC BY-NC 4.0: not for commercial use" in row[5] for row in found)


def test_times_are_those_that_the_network_takes() -> None:
    for row in rows():
        for model in map(create_model, names(row)):
            assert model.arbitrary_time or row[3] == "0.5"
            assert model.takes_time_map or "maps" not in row[3] or "rife_t" in row[0]


def test_shipped_weights_have_a_card_with_a_licence() -> None:
    assert len(list_shipped()) >= 2
    for name in list_shipped():
        card = (shipped_folder() / f"{name}.md").read_text()
        assert card.startswith(f"# {name}\n")
        assert "licence: Apache-2.0" in card
