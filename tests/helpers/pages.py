"""Pages of the documentation as tests see them: code blocks, commands, files that they name."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("*/README.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language ("" where none is given), the file that it is (`title`), and its text."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```', page.read_text(), re.S | re.M)
    return [Block(*parts) for parts in found]


def lines(block: Block) -> list[str]:
    """The commands of a shell block, continued lines joined."""
    return [line for line in block.text.replace("\\\n", " ").splitlines() if line.strip() and line[0] != "#"]


def commands(page: Path) -> list[list[str]]:
    """Program and arguments of each `python -m vfi_train...` in the page's blocks of commands."""
    text = "\n".join(line for b in blocks(page) if b.language in ("", "sh") and not b.title for line in lines(b))
    found = re.findall(r"python -m (vfi_train[\w.]*)([^|\n]*)", text)
    return [[program, *shlex.split(arguments)] for program, arguments in found]
