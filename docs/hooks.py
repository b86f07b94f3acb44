"""What `mkdocs build` does beside rendering pages: included files, and the pages of the API reference.

A line `[NAME](PATH) <!-- include -->`, which is a link where the page is read in its folder, is replaced by that file
of the repository, whose links then fit the page. The API pages list the public modules of a package, found on disk, so
that they follow when modules move.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parent
ROOT = DOCS.parent
INCLUDE = re.compile(r"^\[[^]]+\]\((\S+)\) <!-- include -->$", re.M)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")

# API page -> title, introduction, packages or modules
PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "contract": ("Contract and errors", "What all rooms agree on.", ("vfi_train.contract", "vfi_train.errors")),
    "architectures": ("Architectures", "Plain PyTorch networks.", ("vfi_train.architectures",)),
    "losses": ("Losses", "Loss terms; a configuration picks a set of them.", ("losses",)),
    "datamodules": ("Datamodules", "Datasets and what is below them.", ("datamodules",)),
    "inference": ("Inference", "A trained network with everything around it.", ("vfi_train.inference",)),
    "modules": ("Training step", "The LightningModule and its parts.", ("vfi_train.modules",)),
    "optim": ("Optimizers and schedules", "What moves the parameters.", ("vfi_train.optim",)),
    "callbacks": ("Callbacks", "What happens at a step or a validation.", ("vfi_train.callbacks",)),
    "metrics": ("Metrics", "PSNR, SSIM and other measures.", ("vfi_train.metrics",)),
    "weights": ("Weights", "Checkpoints: published, shipped, and of runs.", ("vfi_train.weights",)),
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the API reference."""
    index = ["# API reference", "", "Made from the docstrings. Images are RGB, float32 in [0, 1], B 3 H W.", ""]
    for name, (title, text, packages) in PAGES.items():
        modules = [module for package in packages for module in public_modules(package)]
        blocks = "\n\n".join(f"::: {module}" for module in modules)
        files.append(File.generated(config, f"api/{name}.md", content=f"# {title}\n\n{text}\n\n{blocks}\n"))
        index.append(f"- [{title}]({name}.md): {text}")
    files.append(File.generated(config, "api/index.md", content="\n".join(index) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Include files of the repository."""
    if page.file.abs_src_path is None:  # a generated page
        return markdown
    found = ((file, m[1]) for file in DOCS.rglob("*.md") for m in INCLUDE.finditer(file.read_text()))
    pages = {(file.parent / included).resolve(): file for file, included in found}
    folder = Path(page.file.abs_src_path).parent

    def content(match: re.Match[str]) -> str:
        source = (folder / match[1]).resolve()

        def link(found: re.Match[str]) -> str:
            target = (source.parent / found[1]).resolve()
            target = pages.get(target, target)  # a file that a page includes is that page
            return f"]({os.path.relpath(target, folder)}"

        return LINK.sub(link, source.read_text())

    return INCLUDE.sub(content, markdown)


def public_modules(package: str) -> list[str]:
    """The module, or the modules of a package that have something public, the package itself first."""
    path = ROOT / package.replace(".", "/")
    if path.with_suffix(".py").exists():
        return [package]
    found = []
    for file in sorted(path.rglob("*.py"), key=lambda f: (len(f.relative_to(path).parts), str(f))):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if re.search(r"^(class|def) [A-Za-z]", file.read_text(), re.M):
            found.append(name)
    return found
