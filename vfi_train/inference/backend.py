"""What computes a network, and how precisely: PyTorch, compiled or not, or a runtime; or the fastest that is here."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.errors import UserError, nearest
from vfi_train.inference.compiled import CompiledNetwork
from vfi_train.inference.graph_cache import cache_folder, network_graph
from vfi_train.inference.graphs import NetworkFunction
from vfi_train.inference.request import Request
from vfi_train.inference.runtimes import RUNTIMES, Runtime, check_installed
from vfi_train.runtime.devices import emulation, is_emulated

log = logging.getLogger(__name__)
KINDS: dict[str, type[Runtime] | type[CompiledNetwork]] = {**RUNTIMES, "compiled": CompiledNetwork}
BACKENDS = ("torch", *KINDS, "auto")
# By autocast in PyTorch, in which the coordinates of warps stay float32. tf32 is a setting of the process.
AUTOCAST = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = (*AUTOCAST, "float32", "auto")
CLOSE = 50.0  # dB to PyTorch's float32: at 35 dB to the truth that costs 0.1 dB
SHORT = 20.0  # seconds of PyTorch's work below which auto stays there: making a graph takes as long
FEW = 2  # frames for which auto does not even measure that
TRIAL = 0.3  # seconds for each candidate, at least
SIZES = 4  # runtimes that are kept, each for one size of frames


class Backend:
    """Computes a network's frames.

    Args:
        model: the network, on its device.
        backend: "torch"; "compiled", which is PyTorch's compiler with CUDA graphs; a name in `runtimes.RUNTIMES`; or
            "auto": the fastest of the runtimes that are installed and of "torch", on the first frames, if it is within
            `CLOSE` of PyTorch's float32.
        precision: "fp32" ("float32"), "bf16", "fp16"; "tf32" (PyTorch only); or "auto", which is chosen likewise.
        scale, iterations: see `Interpolator`.
        note: called with a line for the user.

    Attributes:
        chosen: backend and precision; None: they are chosen by the first frames.
        frames: how many will be predicted, if that is known: "auto" takes PyTorch's float32 for less than `SHORT`.

    Raises:
        UserError: an unknown backend or precision, or one that is not here.
    """

    def __init__(
        self,
        model: Architecture,
        backend: str = "torch",
        precision: str = "fp32",
        *,
        scale: float = 1.0,
        iterations: int = 2,
        note: Callable[[str], None] = log.warning,
    ) -> None:
        precision = check_names(backend, precision)
        self.backend, self.precision, self.note = backend, precision, note
        self.frames: int | None = None
        self._model, self._scale, self._iterations = model, scale, iterations
        if backend in KINDS:
            self._candidates()  # are there any
        self.chosen = None if "auto" in (backend, precision) else (backend, precision)
        self._ready: OrderedDict[tuple[object, ...], Runtime] = OrderedDict()
        self._compiled: CompiledNetwork | None = None
        self._noted: set[str] = set()

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which PyTorch computes."""
        return self._autocast(self._torch_precision())

    def predict(self, request: Request) -> Iterator[Tensor] | None:
        """Frames B 3 H W of a padded request with times as tensors, one after the other; None: PyTorch must do it.

        The first request decides where there is a choice.
        """
        reason = None if self.chosen and self.chosen[0] == "torch" else self._refusal(request)
        if self.chosen is None and reason is None:
            self.chosen = self._choose(request)
        if self.chosen is None or self.chosen[0] == "torch":
            precision = self._torch_precision()
            if is_emulated(AUTOCAST[precision], self._device):
                self._note_once(emulation(f"precision={precision}"))
            return None
        if reason is not None:
            self._note_once(f"backend={self.chosen[0]} does not take {reason}: PyTorch computes these frames")
            return None
        return self._run(*self.chosen, request)

    def _torch_precision(self) -> str:
        """In which PyTorch computes, as chosen or, before that and for what graphs do not take, as given."""
        precision = self.chosen[1] if self.chosen else self.precision
        return "fp32" if precision == "auto" else precision

    def _note_once(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self.note(line)

    def _run(self, backend: str, precision: str, request: Request) -> Iterator[Tensor]:
        if backend == "compiled":
            yield from self._run_compiled(precision, request)
            return
        runtime = self._runtime(backend, precision, (request.frame0.shape[-2], request.frame0.shape[-1]))
        batch = len(request.frame0)
        frames = [[x[k : k + 1].contiguous() for x in (request.frame0, request.frame1)] for k in range(batch)]
        for moment in request.times:
            assert isinstance(moment, Tensor)
            times = moment.expand(batch, 1, 1, 1).contiguous()
            extra = [[times[k : k + 1]] if self._model.arbitrary_time else [] for k in range(batch)]
            yield torch.cat(runtime([[*pair, *more] for pair, more in zip(frames, extra, strict=True)]))

    def _run_compiled(self, precision: str, request: Request) -> Iterator[Tensor]:
        if self._compiled is None:
            self.note("backend=compiled: the first frames of each size wait until the network is compiled")
            self._compiled = CompiledNetwork(self._model, self._iterations, self._scale)
        for moment in request.times:
            assert isinstance(moment, Tensor)
            with self._autocast(precision):
                frame = self._compiled(
                    request.frame0, request.frame1, moment.expand(len(request.frame0), 1, 1, 1).contiguous()
                )
            yield frame

    def _runtime(self, backend: str, precision: str, size: tuple[int, int]) -> Runtime:
        key = (backend, precision, size)
        if key not in self._ready:
            graph = network_graph(self._model, size, self._scale, self._iterations, self.note)
            self._ready[key] = RUNTIMES[backend](graph, precision, self._device, cache_folder())
            if len(self._ready) > SIZES:
                self._ready.popitem(last=False)
        self._ready.move_to_end(key)
        return self._ready[key]

    def _refusal(self, request: Request) -> str | None:
        """What a graph does not take; None: it takes the request."""
        if any(isinstance(x, Tensor) and x.shape[-2:].numel() > 1 for x in request.times):
            return "time maps"
        if request.reference is not None:
            return "references"
        if request.target is not None:
            return "targets"
        if request.before is not None or request.after is not None:
            return "frames before and after"
        return None if request.frame0.dtype == torch.float32 else f"networks in {request.frame0.dtype}"

    def _candidates(self) -> list[tuple[str, str]]:
        """Backends and precisions to choose from, the fastest in theory first."""
        if self.backend in KINDS:
            precisions = KINDS[self.backend].precisions(self._device)
            if not precisions:
                raise UserError(
                    f"backend={self.backend} does not compute on {self._device.type}: give another device, or "
                    "backend=torch"
                )
            if self.precision not in ("auto", *precisions):
                raise UserError(
                    f"backend={self.backend} has no precision={self.precision} here: give {' or '.join(precisions)}, "
                    "or backend=torch"
                )
            return [(self.backend, p) for p in precisions if self.precision in ("auto", p)]
        found = []
        if self.backend == "auto":
            here = (name for name, kind in RUNTIMES.items() if not kind.missing() and kind.precisions(self._device))
            found = [(name, p) for name in list(here)[:1] for p in RUNTIMES[name].precisions(self._device)]
        half = ("fp16", "bf16") if self._device.type == "cuda" else ("bf16",)
        found += [("torch", p) for p in half if not is_emulated(AUTOCAST[p], self._device)]
        return [(name, p) for name, p in found if self.precision in ("auto", p)]

    def _choose(self, request: Request) -> tuple[str, str]:
        """The fastest candidate that is close to PyTorch's float32, by the first frame of the request."""
        pair = Request(request.frame0[:1], request.frame1[:1], [x[:1] for x in request.times[:1]])  # type: ignore[index]
        safe = (
            "torch" if self.backend == "auto" else self.backend,
            "fp32" if self.precision == "auto" else self.precision,
        )
        if self.frames is not None and self.frames <= FEW:
            return safe
        exact, plain = self._trial("torch", "fp32", pair, once=True)
        if self.frames is not None and plain * self.frames < SHORT:
            return safe
        plain = min(plain, self._trial("torch", "fp32", pair, once=True)[1])
        best, name, noise = plain if safe == ("torch", "fp32") else float("inf"), safe, torch.zeros(())
        settled: set[str] = set()
        for backend, precision in self._candidates():
            if backend in settled and precision == "fp32":
                continue
            frame, seconds = self._trial(backend, precision, pair)
            difference = (frame - exact).square().mean()
            if -10 * difference.log10() >= CLOSE:
                settled.add(backend)  # its float32 is slower; of bf16 and fp16 the processor decides
                if seconds < best:
                    best, name, noise = seconds, (backend, precision), difference
        gain = f"{plain / best:.1f} times as fast as PyTorch in float32"
        if best == float("inf"):
            gain = f"nothing else is within {CLOSE:g} dB of PyTorch's float32"
        elif noise:
            gain += f", {-10 * noise.log10():.0f} dB from it"
        self.note(f"backend={name[0]} precision={name[1]}: {gain}")
        return name

    def _trial(self, backend: str, precision: str, pair: Request, *, once: bool = False) -> tuple[Tensor, float]:
        """The frame, and the seconds of the fastest of three runs or more (the first ones are slower), or of one."""
        if backend in RUNTIMES:
            self._runtime(backend, precision, (pair.frame0.shape[-2], pair.frame0.shape[-1]))
        times: list[float] = []
        while len(times) < (1 if once else 3) or (sum(times) < TRIAL and not once):
            began = time.perf_counter()
            by_torch = backend == "torch"
            frame = self._by_torch(precision, pair) if by_torch else next(self._run(backend, precision, pair))
            frame.flatten()[0].item()  # waits for a GPU
            times.append(time.perf_counter() - began)
        return frame, min(times)

    def _by_torch(self, precision: str, pair: Request) -> Tensor:
        with self._autocast(precision):
            function = NetworkFunction(self._model, self._iterations, self._scale)
            return function(pair.frame0, pair.frame1, pair.times[0]).float()

    def _autocast(self, precision: str) -> AbstractContextManager[object]:
        dtype = AUTOCAST[precision]  # without one, the caller's context stays
        return nullcontext() if dtype is None else torch.autocast(self._device.type, dtype=dtype)

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters(), torch.zeros(())).device


def check_names(backend: str, precision: str) -> str:
    """The precision's name of `AUTOCAST`, or "auto".

    Raises:
        UserError: an unknown backend or precision, or a backend that is not installed.
    """
    for key, value, known in (("backend", backend, BACKENDS), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise UserError(f"{key}={value} is not known: {nearest(value, known)}")
    if backend in RUNTIMES:
        check_installed(backend)
    if backend == "compiled" and (missing := CompiledNetwork.missing()):
        raise UserError(f"backend=compiled needs {missing}: pip install triton, or give backend=torch")
    return "fp32" if precision == "float32" else precision
