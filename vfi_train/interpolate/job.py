"""One interpolation: from the settings to files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from datamodules.storage.media import Clip, Frame
from datamodules.storage.video_file import check_deinterlacer
from vfi_train.architectures import Architecture
from vfi_train.errors import UserError
from vfi_train.inference.batch_predictor import BatchPredictor, tf32
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.time_probe import is_time_aware
from vfi_train.interpolate import pipeline
from vfi_train.interpolate.encoders import Encoding
from vfi_train.interpolate.frame_stream import FrameStream
from vfi_train.interpolate.frame_times import Plan, fraction, frame_rate, make_plan
from vfi_train.interpolate.objects import Objects, ObjectStream
from vfi_train.interpolate.pairs import Pair, PairClassifier, pairs, with_context, without_repeats
from vfi_train.interpolate.pixels import background_colour, over
from vfi_train.interpolate.readers import open_source
from vfi_train.interpolate.tile_size import may_keep, scale_for, tile_for
from vfi_train.interpolate.writers import OutputWriter, has_clock
from vfi_train.ranges import AboveZero, Limit, Natural, NonNegative, Text
from vfi_train.runtime.devices import find_device, keep_freed_memory
from vfi_train.runtime.progress import ProgressReporter
from vfi_train.runtime.read_ahead import ReadAhead
from vfi_train.weights import load_weights

SLOWEST = 1000  # times
Depth = Annotated[int, Limit("from 1 to 16", lambda n: 1 <= n <= 16)]
Quality = Annotated[float, Limit("from 0 to 63", lambda n: 0 <= n <= 63)]  # what encoders have for rate factors


@dataclass(frozen=True)
class Settings:
    """The keys of conf/interpolate.yaml, which explains them."""

    input: Text | list[str]
    output: Text
    weights: Text
    runs: Text
    overwrite: bool
    factor: int | None
    rate: float | str | None
    times: float | list[float | str] | None
    insert: int | list[int] | None
    frame_rate: float | str | None
    output_rate: float | str | None
    speed: float | str
    deinterlace: str | None
    masks: str | list[Any] | None
    curves: list[Any] | None
    rest: Literal["fixed", "moves"]
    sam: Text | None
    drop_repeats: bool
    cut_threshold: NonNegative | None
    static_threshold: NonNegative | None
    device: str
    backend: str
    precision: str
    batch: int
    times_at_once: int
    recursive: bool | Literal["auto"]
    recursion_depth: Depth
    iterations: int
    tta: bool | Literal["flip_hw", "flip_h"]
    scale: float | str
    tile: int | list[int] | str | None
    tile_overlap: Natural
    memory: AboveZero | None
    codec: Text | None
    quality: Quality | None
    encoder_options: dict[str, Any] | None
    pixel_format: str | None
    background: str
    audio: bool
    compare: str | None
    frames: str


@dataclass(frozen=True)
class Summary:
    """Frames written, pairs by kind ("moving", "static", "cut") and frames "predicted", whether a signal stopped it."""

    frames: int
    counts: Counter[str]
    stopped: bool


def run(settings: Settings, model: Architecture) -> Summary:
    """Interpolate `settings.input` to `settings.output`.

    Args:
        settings: what to do.
        model: the network, without its weights.

    Raises:
        UserError: a setting is not valid, the input cannot be read, or the output cannot be written.
    """
    s = settings
    insert = _listed(s.insert)
    plan = make_plan(s.factor, s.rate, _listed(s.times), insert)
    speed = fraction(s.speed, "speed")
    if not Fraction(1, SLOWEST) <= speed <= SLOWEST:
        raise UserError(
            f"speed={s.speed} is not a speed from 1/{SLOWEST} to {SLOWEST}: give for example 0.5 for half the speed"
        )
    if s.compare not in (None, *pipeline.SIDES):
        raise UserError(f"compare={s.compare} is not known: give {' or '.join(pipeline.SIDES)}")
    given = s.input if isinstance(s.input, list) else str(s.input)
    background = background_colour(s.background)
    check_deinterlacer(s.deinterlace, "deinterlace")
    rate = None if s.frame_rate is None else frame_rate(s.frame_rate, "frame_rate")
    if s.overwrite and any(_is_same(path, s.output) for path in (given if isinstance(given, list) else [given])):
        raise UserError(f"output={s.output} is the input: choose another, since the original would be gone")
    source = open_source(given, rate, s.deinterlace)
    clip = source.clip
    objects = None
    if s.masks is not None:
        if insert is not None:
            raise UserError("insert= does not go with masks=: give factor= or times=")
        objects = Objects.read(s.masks, s.curves, s.rest, (clip.height, clip.width), s.sam, s.device)
    elif s.curves is not None:
        raise UserError("curves= is the timing of masks=, of which none is given: give both")
    if s.output_rate is not None:
        speed = _speed_for(frame_rate(s.output_rate, "output_rate"), speed, plan.rate(clip.rate))
    interpolator = _interpolator(s, model, clip, plan)
    with (
        ProgressReporter("frames", _total(s, plan, clip), every_seconds=10.0) as progress,
        tf32(True) if s.precision == "tf32" else nullcontext(),
    ):
        interpolator.backend.note = progress.note
        predictor = BatchPredictor(interpolator, insert=insert, smaller_tiles=True, note=progress.note)
        options: dict[str, Any] = {"batch": s.batch, "has_clock": has_clock(s.output), "note": progress.note}
        stream = (
            FrameStream(predictor, plan, **options)
            if objects is None
            else ObjectStream(objects, predictor, plan, **options)
        )
        encoding = Encoding(
            s.codec, s.quality, s.encoder_options or {}, s.pixel_format, True, s.audio and speed == 1, speed
        )
        output = _output_clip(clip, plan, speed, s)
        with pipeline.StopSignal() as stop, OutputWriter(s.output, output, encoding, s.frames, s.overwrite) as writer:
            said = list(writer.target.notes)
            for line in (*_notes(s, interpolator, plan, clip, speed), *said):
                progress.note(line)
            frames = source.frames() if writer.target.holds_alpha else over(source.frames(), background)
            frames = without_repeats(frames) if s.drop_repeats else frames
            classifier = PairClassifier(s.cut_threshold, s.static_threshold)
            items = pairs(frames, plan, classifier)
            items = with_context(items, classifier) if model.takes_context else items
            with ReadAhead[Pair | Frame](items, ahead=2 * s.batch + 1) as reading:
                pipeline.run(
                    stream.outputs(reading), writer, compare=s.compare, speed=speed, stop=stop,
                    progress=lambda count: progress.update(count, lambda: f"{progress.rate():.1f} frames/s"),
                )  # fmt: skip
        for line in (*source.problems, *writer.target.notes[len(said) :]):
            progress.note(line)
    summary = Summary(writer.count, stream.counts, stop.received is not None)
    print(
        _last_line(summary, s.output, writer.given - writer.count, progress.rate()),
        file=sys.stderr if s.output == "-" else sys.stdout,
        flush=True,
    )
    if stop.received is not None:
        sys.exit(128 + stop.received)
    return summary


def _interpolator(s: Settings, model: Architecture, clip: Clip, plan: Plan) -> Interpolator:
    """The model with its weights, on its device, with the scale and the tiles that suit the frames."""
    load_weights(model, s.weights, s.runs)
    model.to(find_device(s.device))
    size = (clip.height, clip.width)
    scale = 1.0 if model.adapt_to(*size) else scale_for(*size)
    interpolator = Interpolator(
        model,
        scale=scale if s.scale == "auto" else float(fraction(s.scale, "scale")),
        tta=s.tta,
        times_at_once=s.times_at_once,
        recursive=_needs_recursion(s, model, plan) if s.recursive == "auto" else s.recursive,
        recursion_depth=s.recursion_depth,
        iterations=s.iterations,
        tile=None if s.tile in (None, "auto") else _sides(s.tile),
        tile_overlap=s.tile_overlap,
        backend=s.backend,
        precision=s.precision,
    )
    halves = interpolator.recursive or len(_listed(s.insert) or []) > 1
    if model.takes_context and halves and not _only_middle(plan):
        raise UserError(
            "a network of four frames takes evenly spaced ones, which intervals halved by recursive or insert do not "
            "have: give factor=2, or weights that are trained for any time"
        )
    total = _total(s, plan, clip)
    interpolator.backend.frames = None if total is None else total - clip.count
    if s.tile == "auto":
        tile = tile_for(interpolator, size, s.batch, s.memory)
        interpolator.tile = None if tile is None else (tile, tile)
    if may_keep(interpolator, size, s.batch, s.memory):
        keep_freed_memory()
    return interpolator


def _needs_recursion(s: Settings, model: Architecture, plan: Plan) -> bool:
    """Whether times other than 0.5 are planned and the network, or its weights, predict only the middle frame."""
    return not ((_only_middle(plan) and s.masks is None) or is_time_aware(model, s.iterations))


def _only_middle(plan: Plan) -> bool:
    return plan.tick(Fraction(1)) in (1, Fraction(1, 2))


def _total(s: Settings, plan: Plan, clip: Clip) -> int | None:
    """How many frames will be written, if that is known."""
    known = clip.count and not s.drop_repeats
    return plan.total(clip.count, clip.rate, has_clock(s.output)) if known else None


def _speed_for(output_rate: Fraction, speed: Fraction, planned: Fraction) -> Fraction:
    if output_rate <= 0 or speed != 1:
        fault = "is not a number of frames per second" if output_rate <= 0 else f"and speed={speed} both say how fast"
        raise UserError(f"output_rate={float(output_rate):g} {fault}: give one above 0, such as 24, without speed=")
    return output_rate / planned


def _output_clip(clip: Clip, plan: Plan, speed: Fraction, s: Settings) -> Clip:
    columns, rows = (2 if s.compare == side else 1 for side in ("beside", "below"))
    return replace(
        clip,
        height=clip.height * rows,
        width=clip.width * columns,
        rate=plan.rate(clip.rate) * speed,
        tick=plan.tick(clip.tick) / speed,
        tracks=tuple(kind for kind in clip.tracks if kind != "sound" or s.audio),
    )


def _notes(s: Settings, interpolator: Interpolator, plan: Plan, clip: Clip, speed: Fraction) -> Iterator[str]:
    """What was chosen for the user."""
    size = f"{clip.height}x{clip.width}"
    if interpolator.scale != 1 and s.scale == "auto":
        yield f"frames of {size}: flow is estimated at scale={interpolator.scale:g}"
    if interpolator.tile and s.tile == "auto":
        yield f"frames of {size} do not fit the memory: tile={interpolator.tile[0]}"
    if speed != 1 and s.audio and "sound" in clip.tracks:
        yield f"speed={speed} leaves the sound out"
    if clip.interlaced:
        yield f"{clip.name} is interlaced, and its frames are combed: deinterlace=bwdif makes a frame of each field"
    if interpolator.recursive and s.recursive == "auto":
        denominator = plan.tick(Fraction(1)).denominator
        nearest = f", to the nearest k/{1 << s.recursion_depth}" if denominator & (denominator - 1) else ""
        yield f"these weights predict only the middle frame: other times are reached by halving{nearest}"


def _last_line(summary: Summary, output: str, joined: int, rate: float) -> str:
    counts = summary.counts
    names = {"cut": "cuts", "static": "static pairs"}
    repeated = " and ".join(f"{counts[kind]} {name}" for kind, name in names.items() if counts[kind])
    return (
        f"{output}: {'interrupted, complete up to here: ' if summary.stopped else ''}{summary.frames} frames"
        + (f" ({joined} more are shown by the ones before)" if joined else "")
        + f", {counts['predicted']} of them predicted, {rate:.1f} frames/s"
        + (f"; frames are repeated over {repeated}" if repeated else "")
    )


def _listed(value: Any) -> list[Any] | None:
    return value if value is None or isinstance(value, list) else [value]


def _is_same(path: str, other: str) -> bool:
    first, second = Path(path).expanduser(), Path(other).expanduser()
    return first.is_file() and second.is_file() and first.samefile(second)


def _sides(tile: Any) -> int | tuple[int, int]:
    sides = _listed(tile) or []
    if not 1 <= len(sides) <= 2 or any(not isinstance(side, int) or side <= 0 for side in sides):
        raise UserError(f"tile={tile} is not a tile's side: give auto, null, a number of pixels, or [height,width]")
    return sides[0], sides[-1]
