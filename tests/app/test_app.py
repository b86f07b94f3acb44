"""The page's jobs, and how it is served: what holds without a browser (see test_app_browser.py)."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.videos import pan, read_rgb, read_video, sound_packets, write_video
from vfi_train.app.command import POLICY, HostMiddleware, PolicyMiddleware, Settings, launch_options, serve
from vfi_train.app.curve_widget import POINTS, STRAIGHT
from vfi_train.app.jobs import Jobs, painted, weight_names
from vfi_train.config.compose import compose_config
from vfi_train.config.read_settings import read_settings
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.manipulation import manipulate, timing

TINY = ("ifrnet_tiny", "ifrnet_tiny_synthetic")
MAPS = "ifrnet_tiny_d_synthetic"
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def settings(**values: Any) -> Settings:
    config = compose_config("app")
    config.update({"device": "cpu", "weights": TINY[1], **values})
    return read_settings(Settings, config)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path, device="cpu", side=400)


def test_frames_between_two_images(jobs: Jobs) -> None:
    first, last = pan(2)
    frames = jobs.frames(*TINY, first, last, 5)
    assert len(frames) == 5
    assert frames[0] is first
    assert frames[4] is last
    wanted = Interpolator(TINY[0], weights=TINY[1], recursive=True)(first, last, [0.25, 0.5, 0.75])
    assert all(np.array_equal(a, b) for a, b in zip(frames[1:4], wanted, strict=True))
    assert len(jobs.frames(*TINY, first, last, 4)) == 4  # thirds, to the nearest k / 64
    for ending in (".gif", ".mp4"):
        assert jobs.saved(frames, ending).stat().st_size > 500
    assert len(read_rgb(jobs.saved(frames, ".mp4"))) == 5


def test_what_is_painted_follows_its_curve(jobs: Jobs) -> None:
    """The right half goes there and back; the left half, unpainted, is fixed."""
    first, last = pan(2)
    mask = np.zeros(first.shape[:2], bool)
    mask[:, 48:] = True
    frames = jobs.manipulated(*TINY, first, last, [mask], [[0, 0.5, 1, 1, 0.5, 0]], False, 6)
    assert len(frames) == 6
    assert timing([0, 0.5, 1, 1, 0.5, 0], 6)[2] == pytest.approx(1)
    for a, b in ((0, 5), (1, 4), (2, 3)):  # the curve is the same forth and back
        assert np.array_equal(frames[a], frames[b])
    half = Interpolator(TINY[0], weights=TINY[1])(first, last)
    inner = np.s_[:, 54:]  # edges are soft for five pixels
    for frame, shown in zip(frames, (first, half, last), strict=False):
        assert np.array_equal(frame[inner], shown[inner])
        assert np.array_equal(frame[:, :42], first[:, :42])
    moving = jobs.manipulated(*TINY, first, last, [mask], [[0, 0]], True, 3)
    assert [np.array_equal(frame[:, :42], x[:, :42]) for frame, x in zip(moving, (first, half, last), strict=True)]
    assert np.array_equal(moving[2][inner], first[inner])
    two = jobs.manipulated(*TINY, first, last, [mask, ~mask, mask & ~mask], [[0, 0], [0, 1], [1, 0]], False, 3)
    assert all(np.array_equal(frame[inner], first[inner]) for frame in two)
    assert [np.array_equal(f[:, :42], x[:, :42]) for f, x in zip(two, (first, half, last), strict=True)] == [True] * 3
    for nothing in ([], [np.zeros_like(mask)]):
        with pytest.raises(UserError, match="paint over an object"):
            jobs.manipulated(*TINY, first, last, nothing, [[0, 1]] * len(nothing), False, 6)


def test_weights_that_know_maps_are_given_them(jobs: Jobs) -> None:
    first, last = pan(2)
    mask = np.zeros(first.shape[:2], bool)
    mask[20:40, 30:60] = True
    got = jobs.manipulated(TINY[0], MAPS, first, last, [mask], [[0, 1, 0]], True, 3)
    network = Interpolator(TINY[0], weights=MAPS)
    wanted = manipulate(network, first, last, [mask], [[0, 1, 0]], 3, elsewhere=[0, 0.5, 1])
    assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))


def test_a_video_with_its_sound(jobs: Jobs, tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", pan(6), sound="aac")
    output = jobs.video(*TINY, str(source), 2, "h264")
    assert read_video(output)[2]["frames"] == 12
    assert sound_packets(output) == sound_packets(source)


def test_mistakes_are_told(jobs: Jobs) -> None:
    first, last = pan(2)
    for ask, message in (
        (lambda: jobs.frames(*TINY, None, last, 5), "give two images first"),
        (lambda: jobs.frames(*TINY, first, last[:50], 5), "different sizes .96x64 and 96x50."),
        (lambda: jobs.frames(*TINY, *pan(2, width=500), 5), "more than 400 pixels a side"),
        (lambda: jobs.frames("../secret", TINY[1], first, last, 5), "there is no model ../secret"),
        (lambda: jobs.frames(TINY[0], "nothing", first, last, 5), "weights=nothing is no file"),
        (lambda: jobs.video(*TINY, None, 2, "h264"), "give a video first"),
    ):
        with pytest.raises(UserError, match=message):
            ask()


def test_models_from_outside_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("_target_: vfi_train.architectures.ifrnet.ifrnet_tiny\n")
    jobs = Jobs(tmp_path, device="cpu", search_path=[f"hydra.searchpath=[file://{tmp_path / 'conf'}]"])
    assert {"ifrnet_s", "rife_d", "mine"} <= set(jobs.models)
    first, last = pan(4)[::3]
    assert np.array_equal(jobs.frames("mine", TINY[1], first, last, 3)[1], jobs.frames(*TINY, first, last, 3)[1])
    video = jobs.video("mine", TINY[1], str(write_video(tmp_path / "in.mp4", pan(3))), 2, "h264")
    assert read_video(video)[2]["frames"] == 6


def test_files_are_removed_when_they_are_old(jobs: Jobs) -> None:
    old, new = jobs.saved(pan(2), ".gif"), jobs.saved(pan(2), ".gif")
    os.utime(old, (time.time() - 100,) * 2)
    jobs.clear(60)
    assert not old.exists()
    assert new.exists()
    jobs.clear(-1)
    assert not new.exists()


def test_what_is_painted_is_an_object_for_each_colour() -> None:
    background = np.zeros((4, 5, 4), np.uint8)
    layers = [np.zeros((4, 5, 4), np.uint8) for _ in range(2)]
    layers[0][1, 1], layers[0][3, 3], layers[1][2, 3] = (255, 0, 0, 255), (255, 0, 0, 255), (240, 30, 10, 9)
    layers[1][3, 3] = (0, 0, 255, 255)  # over the red
    image, (red, blue, green) = painted({"background": background, "layers": layers}, [RED, BLUE, GREEN])
    assert image is not None and image.shape == (4, 5, 3)  # noqa: PT018
    assert np.argwhere(red).tolist() == [[1, 1], [2, 3]]
    assert np.argwhere(blue).tolist() == [[3, 3]]
    assert not green.any()
    assert painted(None, [RED]) == (None, [])


def test_a_straight_curve_is_even_motion() -> None:
    assert timing([height / 100 for height in STRAIGHT], 9) == pytest.approx(np.linspace(0, 1, 9))
    assert len(STRAIGHT) == POINTS


# --- serving


def test_the_page_is_for_this_machine_unless_asked_otherwise() -> None:
    assert launch_options(settings())["server_name"] == "127.0.0.1"
    assert launch_options(settings())["share"] is False
    assert launch_options(settings(upload=5))["max_file_size"] == "5mb"
    assert TINY[1] in weight_names("nowhere")


def test_browsers_are_told_to_load_from_here_alone() -> None:
    sent: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(PolicyMiddleware(inner)({}, None, send))
    assert sent[0]["headers"] == [(b"a", b"b"), (b"content-security-policy", POLICY.encode())]
    assert sent[1] == {"type": "http.response.body", "body": b"page"}
    assert "http" not in POLICY


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package gradio: run `make app`"):
        serve(settings(), "ifrnet_s")


def test_a_port_that_is_taken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"host=127.0.0.1 port={port} cannot be used \(.*in use\)"):
            serve(settings(port=port), "ifrnet_s")


@pytest.mark.parametrize(
    ("given", "is_served"),
    [
        ("127.0.0.1:7860", True), ("localhost:7860", True), ("LOCALHOST", True), ("[::1]:7860", True),
        ("192.168.1.5:7860", True), (socket.gethostname(), True), ("page.lan", True),
        ("evil.example:7860", False), ("127.0.0.1.evil.example", False), ("localhost.evil.example", False),
        ("", False), ("[::1", False),
    ],
)  # fmt: skip
def test_only_requests_to_this_machine_are_served(given: str, is_served: bool) -> None:
    """Another page may let its own name point to 127.0.0.1: the browser then sends that name."""
    sent: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"host", given.encode())]}
    asyncio.run(HostMiddleware(inner, "page.lan")(scope, None, send))
    assert sent[0]["status"] == (200 if is_served else 421)
    scope["type"] = "websocket"
    asyncio.run(HostMiddleware(inner, "page.lan")(scope, None, send))
    assert (sent[-1].get("code") == 1008) is not is_served
