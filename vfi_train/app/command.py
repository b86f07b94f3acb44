"""`python -m vfi_train.app`: a page in the browser to try networks on one's own images and videos.

It is served to this machine alone unless `host=` says otherwise, and asks nothing of any other; what is uploaded and
made is removed after a while, and all of it when the program ends.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vfi_train.app.jobs import Jobs, Settings
from vfi_train.config.selection import chosen
from vfi_train.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
NOTE = "Files up to {} MB; what is uploaded or made here is removed after {:g} minutes."
SWEEP = 60.0  # seconds between looks for files that are too old
# What browsers may load: this page's own files. Gradio's page names fonts and scripts of other hosts.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-ancestors 'self'"
)


def app(config: DictConfig) -> None:
    """Serve the page until it is interrupted; see conf/app.yaml."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError(
            "the page needs the package gradio: run `make app` in the project's folder, which makes an environment "
            "with it, or install the extra `app` of this package"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: cleaned up
    with tempfile.TemporaryDirectory(prefix="vfi_train_app_", ignore_cleanup_errors=True) as folder:
        os.environ |= {
            "GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        from vfi_train.app.page import STYLE, build

        jobs = Jobs(Settings(config.runs, config.device, config.side), Path(folder))
        page = build(
            jobs, (chosen("model") or ["ifrnet_s"])[0], config.weights, any_file=config.host in LOOPBACK,
            note=NOTE.format(config.upload, config.keep / 60),
        )  # fmt: skip
        over = threading.Event()
        threading.Thread(target=_sweep, args=(jobs, config.keep, over), daemon=True).start()
        print(f"http://{config.host}:{config.port}  (Ctrl-C ends it)", flush=True)
        try:
            page.launch(css=STYLE, app_kwargs={"middleware": _middleware()}, **launching(config))
        except OSError as error:
            raise UserError(f"port={config.port} cannot be used ({error}): give another") from error
        except KeyboardInterrupt:  # before the page was served
            pass
        finally:
            over.set()
            page.close()


def launching(config: DictConfig) -> dict[str, Any]:
    """How the page is served."""
    return {
        "server_name": config.host, "server_port": config.port, "max_file_size": f"{config.upload}mb", "quiet": True,
        "share": False, "ssr_mode": False, "show_error": True, "inbrowser": False, "footer_links": [],
        "enable_monitoring": False, "mcp_server": False,
    }  # fmt: skip


class Guarded:
    """An ASGI application whose answers carry `POLICY`."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, and the policy with the answer."""

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.inner(scope, receive, guarded)


def _middleware() -> list[Any]:
    from starlette.middleware import Middleware

    return [Middleware(Guarded)]


def _sweep(jobs: Jobs, age: float, over: threading.Event) -> None:
    while not over.wait(min(SWEEP, age)):
        jobs.clear(age)
