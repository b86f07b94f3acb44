"""A cache of decoded frames, so that a frame of several neighbouring samples is decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

from vfi_train.errors import DataError

CACHED = 12  # frames


def cache_frames(source: Any) -> Any:
    """The source with its store or its videos wrapped by a cache."""
    if hasattr(source, "store"):
        source.store = _CachedStore(source.store)
    if hasattr(source, "videos"):
        source.videos = {name: _CachedVideo(video) for name, video in source.videos.items()}
    return source


class _Cache:
    """The last results of a function by its first argument, each computed once even if several threads need it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._results: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, name: Hashable, *rest: Any) -> Any:
        with self._lock:
            future = self._results.get(name)
            is_new = future is None
            if future is None:
                future = self._results[name] = Future()
                if len(self._results) > CACHED:
                    self._results.popitem(last=False)
            else:
                self._results.move_to_end(name)
        if is_new:
            try:
                future.set_result(self.function(name, *rest))
            except BaseException as error:
                with self._lock:
                    self._results.pop(name, None)
                future.set_exception(error)
        try:
            return future.result()
        except DataError:
            if is_new:
                raise
            return self.function(name, *rest)  # whose error names this sample


class _CachedStore:
    def __init__(self, store: Any) -> None:
        self._store = store
        self.read = _Cache(store.read)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _CachedVideo:
    def __init__(self, video: Any) -> None:
        self._video = video
        self._frame = _Cache(video.__getitem__)

    def __len__(self) -> int:
        return len(self._video)

    def __getitem__(self, index: int) -> Any:
        return self._frame(index)
