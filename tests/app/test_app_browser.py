"""The page, used by a browser from upload to download. `make test-app` makes the environment that this needs."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.scenes.style import SceneStyle
from datamodules.synthetic import to_uint8
from tests.helpers.programs import ENVIRONMENT
from tests.helpers.videos import pan, read_video, sound_packets, write_video
from vfi_train.inference.interpolator import Interpolator

BINARY, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
MODEL, WEIGHTS = "ifrnet_tiny", "ifrnet_tiny_synthetic"
SIZE = {"height": 192, "width": 288}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("gradio", "selenium")),
        reason="gradio and selenium are not in this environment: make test-app",
    ),
    pytest.mark.skipif(not (BINARY and DRIVER), reason="needs Chromium and its driver (Debian: chromium-driver)"),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The address of a page that takes files up to 2 MiB; its own files are gone when it has ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "vfi_train.app", f"port={port}", "upload=2", "device=cpu", "side=800",
         f"model={MODEL}", f"weights={WEIGHTS}"],
        cwd=tmp_path, env={**ENVIRONMENT, "TMPDIR": str(tmp_path / "temporary")}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"http://127.0.0.1:{port} ")
    yield f"http://127.0.0.1:{port}"
    assert list((tmp_path / "temporary").glob("vfi_train_app_*/*/*"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert list((tmp_path / "temporary").glob("vfi_train_app_*")) == []


@pytest.fixture
def user(tmp_path: Path, page: str) -> Iterator[User]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(BINARY)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1700"):
        options.add_argument(argument)
    (tmp_path / "downloads").mkdir()
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = Chrome(options, Service(str(DRIVER)))
    user = User(browser, tmp_path)
    user.until(lambda: browser.get(page) or True)
    yield user
    browser.quit()


def test_jobs_have_names_for_programs(page: str) -> None:
    with urllib.request.urlopen(f"{page}/gradio_api/info") as response:
        named = json.load(response)["named_endpoints"]
    assert set(named) == {"/interpolate", "/manipulate", "/video"}


def test_from_upload_to_download(user: User, page: str, tmp_path: Path) -> None:
    """Two images, a painted object with a drawn curve, a video; what is too large is refused."""
    scene = SceneStyle(*SIZE.values(), nonuniform=0.0).draw(np.random.default_rng(2))
    first, last = (to_uint8(scene.render(time)) for time in (0.0, 1.0))
    for name, image in (("first", first), ("last", last)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    wanted = Interpolator(MODEL, weights=WEIGHTS, recursive=True)(first, last, [k / 8 for k in range(1, 8)])

    user.upload("#frame0", tmp_path / "first.png")
    user.upload("#frame1", tmp_path / "last.png")
    user.click("#interpolate")
    user.sees("#images_view", wanted[3])
    user.slide("#images_slider", 7)
    user.sees("#images_view", wanted[6])
    user.screenshot("images")
    with Image.open(user.download("#images_gif")) as animation:
        assert (animation.n_frames, animation.size) == (9, (288, 192))
    film = user.download("#images_mp4")
    assert read_video(film)[2]["frames"] == 9

    user.tab("An object in time")
    user.upload("#editor", tmp_path / "first.png")
    user.upload("#last", tmp_path / "last.png")
    user.click("#manipulate")
    user.reads("paint over an object in the first image")
    user.paint("#editor")
    user.draw("#curve_red svg", [(0.0, 1.0), (1.0, 0.0)])  # from the last image back to the first
    user.click("#manipulate")
    user.sees("#object_view", first, where=(slice(0, 20), slice(0, 20)))  # where nothing is painted
    user.slide("#object_slider", 0)
    middle = (slice(92, 100), slice(140, 148))
    user.sees("#object_view", last, where=middle)
    user.slide("#object_slider", 8)
    user.sees("#object_view", first, where=middle)
    user.browser.execute_script("scrollTo(0, 0)")
    user.screenshot("object")
    with Image.open(user.download("#object_gif")) as animation:
        assert animation.n_frames == 9

    user.tab("Video")
    write_video(tmp_path / "in.mp4", pan(6, **SIZE), sound="aac")
    user.upload("#source", tmp_path / "in.mp4")
    user.click("#convert")
    film = user.download("#video_mp4")
    assert read_video(film)[2]["frames"] == 12
    assert sound_packets(film) == sound_packets(tmp_path / "in.mp4")
    user.until(lambda: user.find("#result video"))
    user.screenshot("video")

    user.browser.refresh()
    (tmp_path / "large.mp4").write_bytes(bytes(3 * 2**20))
    user.tab("Video")
    user.find("#source input[type=file]").send_keys(str(tmp_path / "large.mp4"))
    user.reads("exceed the maximum allowed size of 2.0 Mb")
    content = b'--x\r\nContent-Disposition: form-data; name="files"; filename="large.mp4"\r\n\r\n' + bytes(3 * 2**20)
    request = urllib.request.Request(
        f"{page}/gradio_api/upload", content + b"\r\n--x--", {"Content-Type": "multipart/form-data; boundary=x"}
    )
    with pytest.raises(urllib.error.HTTPError, match="413"):  # past the page's own script
        urllib.request.urlopen(request)
    assert not list((tmp_path / "temporary").rglob("large.mp4"))
    user.tab("Two images")
    Image.new("RGB", (900, 40)).save(tmp_path / "wide.png")
    user.upload("#frame0", tmp_path / "wide.png")
    user.upload("#frame1", tmp_path / "wide.png")
    user.click("#interpolate")
    user.reads("more than 800 pixels a side")
    user.screenshot("refused")

    strangers = [address for address in user.addresses() if not address.startswith((page, "data:", "blob:"))]
    assert strangers == []


class User:
    """Hands and eyes."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser, self.folder = browser, folder

    def until(self, condition: Callable[[], Any], seconds: float = 90) -> Any:
        """What the condition gives, as soon as it is something; the page takes its time."""
        deadline, trouble = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except Exception as error:  # not there yet
                trouble = error
            time.sleep(0.2)
        self.screenshot("failed")
        raise AssertionError(f"not within {seconds} s: {trouble}; {self.find('body').text[-500:]}")

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def click(self, selector: str) -> None:
        self.until(lambda: self.find(selector).click() or True)

    def tab(self, name: str) -> None:
        path = f"//button[@role='tab'][contains(., '{name}')]"
        self.until(lambda: self.browser.find_element("xpath", path).click() or True)

    def upload(self, selector: str, path: Path) -> None:
        self.until(lambda: self.find(f"{selector} input[type=file]").send_keys(str(path)) or True)
        shown = {"#editor": "canvas", "#source": "video"}.get(selector, "img")
        self.until(lambda: self.find(f"{selector} {shown}"))
        if selector == "#editor":
            self.until(lambda: path.read_bytes() and self.find(f"{selector} canvas").size["width"] > 50)
            time.sleep(2)  # it draws the image

    def sees(self, selector: str, image: np.ndarray, where: Any = ...) -> None:
        """The page comes to show this image, to a level."""

        def near() -> bool:
            with urllib.request.urlopen(self.find(f"{selector} img").get_attribute("src")) as answer:
                shown = np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))
            assert shown.shape == image.shape
            difference = np.abs(shown.astype(int) - image)[where].max()
            assert difference <= 1, f"{selector} differs by {difference}"
            return True

        self.until(near)

    def reads(self, text: str) -> None:
        self.until(lambda: text in self.find("body").text)

    def slide(self, selector: str, value: int) -> None:
        """Type a number beside the slider."""
        self.browser.execute_script(
            "const field = arguments[0]; field.value = arguments[1];"
            "for (const kind of ['input', 'change', 'blur']) field.dispatchEvent(new Event(kind, {bubbles: true}));",
            self.until(lambda: self.find(f"{selector} input[type=number]")), str(value),
        )  # fmt: skip

    def draw(self, selector: str, points: list[tuple[float, float]]) -> None:
        """Draw through points of the curve: moment and height, 0..1."""
        from selenium.webdriver import ActionChains

        drawing = self.find(selector)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", drawing)
        unit, left, top = self.browser.execute_script(
            "const box = arguments[0].getBoundingClientRect(), place = arguments[0].getScreenCTM();"
            "return [place.a, place.e - box.x - box.width / 2, place.f - box.y - box.height / 2];",
            drawing,
        )
        hand = ActionChains(self.browser)
        for index, (moment, height) in enumerate(points):
            x, y = left + unit * 100 * moment, top + unit * 50 * (1 - height)
            hand = hand.move_to_element_with_offset(drawing, round(x), round(y))
            hand = hand.click_and_hold() if index == 0 else hand
        hand.release().perform()

    def paint(self, selector: str) -> None:
        """Scribble over the middle of the image."""
        from selenium.webdriver import ActionChains

        canvas = self.find(f"{selector} canvas")
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        hand = ActionChains(self.browser).move_to_element_with_offset(canvas, -30, -20).click_and_hold()
        for dy in (10, 10, 10, 10):
            hand = hand.move_by_offset(60, 0).move_by_offset(-60, dy)
        hand.release().perform()
        time.sleep(1)

    def download(self, selector: str) -> Path:
        folder = self.folder / "downloads"
        before = set(folder.iterdir())
        self.until(lambda: self.find(selector).is_enabled())
        self.click(selector)
        return self.until(lambda: [p for p in set(folder.iterdir()) - before if p.suffix != ".crdownload"])[0]

    def addresses(self) -> set[str]:
        """Of all that the browser has asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        assert len(asked) > 20
        return {request["request"]["url"] for request in asked}

    def screenshot(self, name: str) -> None:
        """Kept where SCREENSHOTS says."""
        self.browser.save_screenshot(str(Path(os.environ.get("SCREENSHOTS", self.folder)) / f"{name}.png"))
