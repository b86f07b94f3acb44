"""`python -m vfi_train.app`: a page in the browser to try networks on one's own images and videos.

It is served only to this machine unless `host=` says otherwise, and loads nothing from other hosts. Uploads and results
are removed after a while, and all of them when the program ends.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from omegaconf import DictConfig

from vfi_train.app.jobs import Jobs
from vfi_train.config.read_settings import read_settings
from vfi_train.config.selection import chosen, given_search_path
from vfi_train.errors import UserError
from vfi_train.ranges import AboveZero, Limit, Positive, Text
from vfi_train.runtime.devices import find_device
from vfi_train.weights.load import find_weights

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SWEEP = 60.0  # seconds between removals of old files
# What browsers may load: this page's own files. Gradio's page names fonts and scripts of other hosts.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-ancestors 'self'"
)


Port = Annotated[int, Limit("from 1 to 65535", lambda n: 1 <= n <= 65535)]
Side = Annotated[int, Limit("from 64 to 16384", lambda n: 64 <= n <= 16384)]


@dataclass(frozen=True)
class Settings:
    """The keys of conf/app.yaml, which explains them."""

    host: Text
    port: Port
    weights: Text
    runs: Text
    device: str
    upload: Positive
    side: Side
    keep: AboveZero
    sam: Text | None


def app(config: DictConfig) -> None:
    """Serve the page until it is interrupted; see conf/app.yaml."""
    serve(read_settings(Settings, config), (chosen("model") or ["ifrnet_s"])[0], given_search_path())


def serve(settings: Settings, model: str, search_path: Sequence[str] = ()) -> None:
    """Serve the page, on which `model` is chosen at first; for `search_path` see `Jobs`.

    Raises:
        UserError: there is no such device, no such weights, or no Gradio, or the port is taken.
    """
    s = settings
    find_device(s.device)
    find_weights(s.weights, s.runs)
    if importlib.util.find_spec("gradio") is None:
        raise UserError(
            "the page needs the package gradio: run `make app` in the project's folder, which makes an environment "
            "with it, or install the extra `app` of this package"
        )
    _check_port(s.host, s.port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that files are removed
    with tempfile.TemporaryDirectory(prefix="vfi_train_app_", ignore_cleanup_errors=True) as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        from vfi_train.app.page import STYLE, build

        jobs = Jobs(Path(folder), runs=s.runs, device=s.device, side=s.side, sam=s.sam, search_path=search_path)
        note = f"Files up to {s.upload} MB; uploads and results are removed after {s.keep / 60:g} minutes."
        page = build(jobs, model, s.weights, any_file=s.host in LOOPBACK, note=note)
        over = threading.Event()
        threading.Thread(target=_sweep, args=(jobs, s.keep, over), daemon=True).start()
        print(f"http://{s.host}:{s.port}  (Ctrl-C ends it)", flush=True)
        try:
            page.launch(css=STYLE, app_kwargs={"middleware": _middleware(s.host)}, **launch_options(s))
        except KeyboardInterrupt:  # before the page was served
            pass
        finally:
            over.set()
            page.close()


def launch_options(settings: Settings) -> dict[str, Any]:
    """For Gradio's `launch`."""
    return {
        "server_name": settings.host, "server_port": settings.port, "max_file_size": f"{settings.upload}mb",
        "quiet": True, "share": False, "ssr_mode": False, "show_error": True, "inbrowser": False, "footer_links": [],
        "enable_monitoring": False, "mcp_server": False,
    }  # fmt: skip


class PolicyMiddleware:
    """An ASGI application that adds the header of `POLICY` to the responses of another."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, and the response with the header."""

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.inner(scope, receive, send_with_policy)


class HostMiddleware:
    """An ASGI application that passes on to another what is addressed to this machine.

    A page elsewhere can let its own name point to this machine, and would then count as this page in a browser.

    Args:
        inner: the other.
        host: the name or address that the page is served at.
    """

    def __init__(self, inner: Any, host: str) -> None:
        self.inner, self.names = inner, {host.lower(), "localhost", socket.gethostname().lower()}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it with status 421."""
        given = dict(scope.get("headers") or ()).get(b"host", b"").decode("latin-1")
        if scope["type"] == "lifespan" or self.accepts(given):
            await self.inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            text = f"This page is not served as {given!r}: open it by the address that the program printed.\n"
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 421, "headers": headers})
            await send({"type": "http.response.body", "body": text.encode()})

    def accepts(self, given: str) -> bool:
        """Whether a Host header names this machine: by an address, which no other page can have, or by its name."""
        name = ""
        try:
            name = urlsplit(f"//{given}").hostname or ""
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return name in self.names
        return True


def _middleware(host: str) -> list[Any]:
    from starlette.middleware import Middleware

    return [Middleware(HostMiddleware, host=host), Middleware(PolicyMiddleware)]


def _check_port(host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise UserError(
            f"host={host} port={port} cannot be used ({os.strerror(error.errno or 0)}): give another port"
        ) from error


def _sweep(jobs: Jobs, age: float, over: threading.Event) -> None:
    while not over.wait(min(SWEEP, age)):
        jobs.clear(age)
