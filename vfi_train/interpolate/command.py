"""`python -m vfi_train.interpolate`: frames between the frames of images, folders and videos."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from vfi_train.architectures import Architecture
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.time_probe import is_time_aware
from vfi_train.interpolate import pipeline
from vfi_train.interpolate.engine import Engine
from vfi_train.interpolate.frame_times import Plan, fraction, plan
from vfi_train.interpolate.media import Clip
from vfi_train.interpolate.pairs import Judge, moving, pairs
from vfi_train.interpolate.progress import FrameProgress
from vfi_train.interpolate.readers import open_source
from vfi_train.interpolate.threads import ReadAhead
from vfi_train.interpolate.tile_size import may_keep, scale_for, tile_for
from vfi_train.interpolate.video_writer import Encoding
from vfi_train.interpolate.writers import has_clock, open_sink
from vfi_train.runtime.devices import find_device, keep_freed_memory
from vfi_train.weights import load_weights


@dataclass(frozen=True)
class Summary:
    """What was done: frames written, pairs by kind ("moving", "still", "cut"), and whether it was stopped early."""

    frames: int
    counts: Counter[str]
    stopped: bool


def interpolate(config: DictConfig) -> Summary:
    """Interpolate `config.input` to `config.output`; see conf/interpolate.yaml."""
    given = OmegaConf.to_container(config.input) if isinstance(config.input, ListConfig) else str(config.input)
    output = str(config.output)
    wanted = plan(config.factor, config.rate, _listed(config.times), _listed(config.insert))
    speed = fraction(config.speed, "speed")
    if speed <= 0:
        raise UserError(f"speed={config.speed} is not a pace: give a number above 0, as 0.5 for half as fast")
    if config.compare not in (None, *pipeline.SIDES):
        raise UserError(f"compare={config.compare} is not known: give {' or '.join(pipeline.SIDES)}")
    source = open_source(given, fraction(config.frame_rate, "frame_rate"))  # type: ignore[arg-type]
    asked = _interpolator(config, source.clip, wanted)
    progress = FrameProgress(round(wanted.rate(Fraction(source.clip.count))) if source.clip.count else 0)
    engine = Engine(
        asked, batch=config.batch, precision=config.precision, rounds=_listed(config.insert),
        recursion_depth=config.recursion_depth, note=progress.note,
    )  # fmt: skip
    sound = source.clip.path if config.audio and speed == 1 else None
    encoding = Encoding(config.codec, config.quality, config.encoder_options or {}, config.pixel_format, sound)
    written = _written(source.clip, wanted, speed, config.compare)
    sink = open_sink(output, written, encoding, config.frames, config.overwrite)

    frames = moving(source.frames()) if config.drop_repeats else source.frames()
    reading = ReadAhead(
        pairs(frames, wanted, Judge(config.cut_threshold, config.static_threshold)), size=2 * config.batch + 1
    )
    stop = pipeline.Stop()
    try:
        _notes(progress, asked, wanted, source.clip, speed, config)
        outputs = engine.outputs(reading, wanted, has_clock(output))
        with stop.listening():
            count = pipeline.run(
                outputs,
                reading,
                sink,
                name=output,
                compare=config.compare,
                speed=speed,
                stop=stop,
                wrote=progress.update,
            )
    finally:
        progress.close()
    summary = Summary(count, engine.counts, stop.by is not None)
    print(_told(summary, output, progress.fps(count)), file=sys.stderr if output == "-" else sys.stdout, flush=True)
    if stop.by is not None:
        sys.exit(128 + stop.by)
    return summary


def _interpolator(config: DictConfig, clip: Clip, wanted: Plan) -> Interpolator:
    """The model with its weights, on its device, with the scale and the tiles that suit the frames."""
    check_targets(config)
    model = instantiate(config.model, _convert_="all")
    load_weights(model, config.weights, config.runs)
    model.to(find_device(config.device))
    size = (clip.height, clip.width)
    asked = Interpolator(
        model,
        scale=scale_for(*size) if config.scale == "auto" else float(fraction(config.scale, "scale")),
        tta=config.tta,
        times_at_once=config.times_at_once,
        recursive=_halves(model, wanted, config) if config.recursive == "auto" else config.recursive,
        iterations=config.iterations,
        tile=None if config.tile in (None, "auto") else _sides(config.tile),
        tile_overlap=config.tile_overlap,
    )
    if config.tile == "auto":
        tile = tile_for(asked, size, config.batch, config.memory)
        asked.tile = None if tile is None else (tile, tile)
    if may_keep(asked, size, config.batch, config.memory):
        keep_freed_memory()
    return asked


def _halves(model: Architecture, wanted: Plan, config: DictConfig) -> bool:
    """Whether times other than the middle are wanted of a network, or of weights, that know the middle alone."""
    middle_alone = wanted.tick(Fraction(1)) in (1, Fraction(1, 2))
    return not (middle_alone or is_time_aware(model, config.iterations))


def _written(clip: Clip, wanted: Plan, speed: Fraction, compare: str | None) -> Clip:
    """What the output is like."""
    wide, high = (2 if compare == side else 1 for side in ("beside", "below"))
    rate = wanted.rate(clip.rate) * speed
    tick = wanted.tick(clip.tick) / speed
    return replace(clip, height=clip.height * high, width=clip.width * wide, rate=rate, tick=tick)


def _notes(
    progress: FrameProgress, asked: Interpolator, wanted: Plan, clip: Clip, speed: Fraction, config: DictConfig
) -> None:
    """Say what the user did not ask for in so many words."""
    if asked.scale != 1 and config.scale == "auto":
        progress.note(f"frames of {clip.height}x{clip.width}: flow is estimated at scale={asked.scale:g}")
    if asked.tile and config.tile == "auto":
        progress.note(f"the memory does not hold whole frames of {clip.height}x{clip.width}: tile={asked.tile[0]}")
    if speed != 1 and config.audio and clip.path:
        progress.note(f"speed={config.speed} leaves the sound out")
    if asked.recursive and config.recursive == "auto":
        tick = wanted.tick(Fraction(1))
        inexact = tick.denominator & (tick.denominator - 1)
        nearest = f", to the nearest k/{1 << config.recursion_depth}" if inexact else ""
        progress.note(f"these weights know the middle frame alone: other times are reached by halving{nearest}")


def _told(summary: Summary, output: str, fps: float) -> str:
    """The last line."""
    parts = [
        f"{summary.counts[kind]} {name}"
        for kind, name in (("cut", "cuts"), ("still", "still pairs"))
        if summary.counts[kind]
    ]
    repeated = f"; frames are repeated over {' and '.join(parts)}" if parts else ""
    state = "interrupted, complete up to here: " if summary.stopped else ""
    made = summary.counts["made"]
    return f"{output}: {state}{summary.frames} frames, {made} of them made, {fps:.1f} frames/s{repeated}"


def _listed(value: Any) -> list[Any] | None:
    if value is None:
        return None
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def _sides(tile: Any) -> int | tuple[int, int]:
    if isinstance(tile, int) and tile > 0:
        return tile
    sides = tuple(_listed(tile) or ())
    if len(sides) == 2 and all(isinstance(side, int) and side > 0 for side in sides):
        return sides  # type: ignore[return-value]
    raise UserError(f"tile={tile} is not the side of a tile: give auto, null, a number of pixels, or [height,width]")
