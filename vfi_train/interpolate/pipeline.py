"""Reading, computing and writing at once, until the source ends or somebody stops it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np

from vfi_train.interpolate.engine import Output
from vfi_train.interpolate.media import Frame
from vfi_train.interpolate.threads import ReadAhead, WriteBehind
from vfi_train.interpolate.writers import Sink, unwritable

SIDES = {"beside": 1, "below": 0}  # the axis along which the original is put before what was made


class Stop:
    """Whether somebody asked to stop: by Ctrl-C (SIGINT) or SIGTERM, which are answered while `listening`."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Signals are noted here; a second one acts as it always does."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, _: object) -> None:
            self.by = signal.Signals(number)
            for each, handler in usual.items():
                signal.signal(each, handler)

        for number in usual:
            signal.signal(number, note)
        try:
            yield self
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)


def run(
    outputs: Iterable[Output],
    reading: ReadAhead,
    sink: Sink,
    *,
    name: str = "",
    compare: str | None = None,
    speed: Fraction = Fraction(1),
    ahead: int = 4,
    stop: Stop | None = None,
    wrote: Callable[[int], None] = lambda count: None,
) -> int:
    """Write all outputs; the number of frames written.

    Args:
        outputs: made from what `reading` reads.
        reading: is stopped at the end, whatever happens.
        name: of the output, for messages.
        sink: is finished, also when `stop` says so; abandoned after an error.
        compare: "beside" or "below": each frame after the original that is shown at its time.
        speed: times are divided by it: 0.5 plays half as fast.
        ahead: frames that may wait to be written.
        stop: asked between frames.
        wrote: called with the number of frames so far.

    Raises:
        UserError: the disk is full, or whoever reads standard output has gone.
    """
    count = 0

    def write(output: Output) -> None:
        nonlocal count
        frame = output.frame
        image, native = frame.image, frame.native
        if compare is not None:
            image, native = np.concatenate((output.original.image, image), axis=SIDES[compare]), None
        sink.write(Frame(image, frame.time / speed, frame.duration / speed, native))
        count += 1

    writing = WriteBehind(write, ahead)
    try:
        for output in outputs:
            writing.put(output)
            wrote(count)
            if stop is not None and stop.by is not None:
                break
        writing.close()
        sink.finish()
        wrote(count)
    except BaseException as error:
        writing.cancel()
        sink.abandon()
        if isinstance(error, OSError):
            raise unwritable(error, count, name) from error
        raise
    finally:
        reading.stop()
    return count
