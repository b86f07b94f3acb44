"""`python -m vfi_train.export`: write trained weights in another format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from datamodules.storage.atomic_write import atomic_file
from vfi_train.architectures import Architecture
from vfi_train.config.build_network import build_network
from vfi_train.config.read_settings import parse_size, read_settings
from vfi_train.errors import UserError, check_ordinary, make_folder, nearest, no_empty_folders
from vfi_train.inference import graphs
from vfi_train.inference.time_probe import is_time_aware
from vfi_train.ranges import Positive, Text
from vfi_train.weights import load_weights, published_state_dict
from vfi_train.weights.checkpoint_io import save_atomically
from vfi_train.weights.checksums import write_safetensors

WEIGHTS = {"published": "published weights", "safetensors": "safetensors weights"}
GRAPHS = {
    "onnx": (".onnx", graphs.write_onnx, f"onnx (opset {graphs.OPSET}, "),
    "torch_export": (".pt2", graphs.write_torch_export, "torch.export archive ("),
    "aotinductor": (".pt2", graphs.write_aotinductor, "AOTInductor package ("),
}
FORMATS = (*WEIGHTS, *GRAPHS, "hub")
ENDINGS = {  # of the files of each format; the first format of an ending is meant where none is given
    "published": (".pth", ".pt", ".pkl", ".ckpt"),
    "safetensors": (".safetensors",),
    **{name: (ending,) for name, (ending, _, _) in GRAPHS.items()},
}


@dataclass(frozen=True)
class Settings:
    """The keys of conf/export.yaml, which explains them."""

    weights: Text
    runs: Text
    format: str | None
    output: Text
    size: str | None
    iterations: Positive
    overwrite: bool
    license: str | None


def export(config: DictConfig) -> None:
    """Write `config.weights` of `config.model` to `config.output` in `config.format`; see conf/export.yaml.

    Raises:
        UserError: a setting is not valid, or the format does not hold the model.
    """
    s = read_settings(Settings, config)
    output, name = Path(s.output), str(config.model._target_).rpartition(".")[2]
    if s.format != "hub" and output.is_dir():
        raise UserError(f"output={s.output} is a folder: give the name of the file to write")
    form = format_of(output, s.format)
    if form == "hub":
        from vfi_train.export.hub import write_hub_folder

        model = build_network(config)
        source = load_weights(model, s.weights, s.runs)
        block = OmegaConf.to_container(config.model, resolve=True)
        with no_empty_folders(output):
            write_hub_folder(model, block, source, output, s.license)  # type: ignore[arg-type]
        print(f"{output}: a folder for the Hugging Face Hub of {source}; upload it with hf upload OWNER/NAME {output}")
        return
    check_ordinary(output, "output", "give the name of a new file")
    if output.exists() and not s.overwrite:
        raise UserError(f"{output} exists: choose another output=..., or overwrite=true")
    size = None if s.size is None else parse_size(s.size, f"size={s.size}")
    model = build_network(config)
    source = load_weights(model, s.weights, s.runs)
    with no_empty_folders(output.parent):
        make_folder(output.parent, "output")
        with atomic_file(output, keep_suffix=True) as partial:
            if form in WEIGHTS:
                write_weights(model, partial, form, {"model": name, "weights": source.name})
                content = WEIGHTS[form]
            else:
                metadata = graphs.metadata_of(model, name, source.name, size, s.iterations)
                metadata = replace(metadata, arbitrary_time=is_time_aware(model, s.iterations))
                _, write_graph, kind = GRAPHS[form]
                content = f"{kind}{_described(metadata, write_graph(model, metadata, partial))})"
    print(f"{output}: {content} of {source}")


def format_of(output: Path, given: str | None) -> str:
    """The format to write: the given one, else that of the file's ending.

    Raises:
        UserError: it is not known, or the ending is another format's.
    """
    if given is None:
        found = next((form for form, endings in ENDINGS.items() if output.suffix in endings), None)
        if found is None:
            known = ", ".join(dict.fromkeys(ending for endings in ENDINGS.values() for ending in endings))
            raise UserError(f"output={output} does not end in {known}: give such a name, or format=hub for a folder")
        return found
    if given not in FORMATS:
        raise UserError(f"format={given} is not known: {nearest(given, FORMATS)}")
    if given in ENDINGS and output.suffix not in ENDINGS[given]:
        raise UserError(
            f"format={given} writes files whose names end in {' or '.join(ENDINGS[given])}: choose such an output=..., "
            f"not {output}"
        )
    return given


def write_weights(model: Architecture, path: Path, form: str, metadata: dict[str, str]) -> None:
    """A state dict with the published names, on the CPU: pickled ("published"), or as "safetensors", without code."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in published_state_dict(model).items()}
    if form == "published":
        save_atomically(tensors, path)
    else:
        write_safetensors(tensors, path, metadata)


def _described(metadata: graphs.ExportMetadata, difference: float) -> str:
    times = "any time" if metadata.arbitrary_time else "the middle frame"
    sizes = f"heights and widths that are multiples of {metadata.size_multiple}"
    if metadata.size:
        sizes = f"{metadata.size[0]}x{metadata.size[1]}"
    return f"{times}, {sizes}, at most {difference:.0e} from PyTorch"
