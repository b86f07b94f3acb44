"""Reading, predicting and writing in parallel, until the input ends or a signal stops it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Self

import numpy as np

from datamodules.storage.media import Frame
from vfi_train.interpolate.frame_stream import Output
from vfi_train.interpolate.write_behind import WriteBehind
from vfi_train.interpolate.writers import OutputWriter

AHEAD = 4  # frames that may wait to be written
SIDES = {"beside": 1, "below": 0}  # the axis along which the original and the output frame are joined


class StopSignal:
    """Notes SIGINT (Ctrl-C) or SIGTERM within a `with` block; a second signal acts as usual.

    Attributes:
        received: the signal; None: there was none.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others cannot
            self._usual = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.received = signal.Signals(number)
        self.__exit__()


def run(
    outputs: Iterable[Output],
    writer: OutputWriter,
    *,
    compare: str | None = None,
    speed: Fraction = Fraction(1),
    stop: StopSignal | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Write all outputs, or those before a signal.

    Args:
        outputs: computed while others are written.
        writer: within its `with` block.
        compare: "beside" or "below": each frame is joined to the original that is shown at its time.
        speed: times are divided by it: 0.5 plays at half the speed.
        stop: looked at between frames.
        progress: called with the number of frames so far.
    """

    def write(output: Output) -> None:
        frame = output.frame
        image, native = frame.image, frame.native
        if compare is not None:
            image, native = np.concatenate((output.original.image, image), axis=SIDES[compare]), None
        writer.write(Frame(image, frame.time / speed, frame.duration / speed, native))

    with WriteBehind(write, AHEAD) as writing:
        for output in outputs:
            writing.put(output)
            progress(writer.given)
            if stop is not None and stop.received is not None:
                writer.target.is_interrupted = True
                break
    progress(writer.given)
