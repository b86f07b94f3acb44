"""What the page of `vfi_train.app` looks like, and which of its buttons asks for which job. Needs Gradio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from vfi_train.app.curve_widget import SCRIPT, STRAIGHT, TEMPLATE
from vfi_train.app.curve_widget import STYLE as CURVE_STYLE
from vfi_train.app.jobs import RATE, Jobs, model_names, painted, weight_names
from vfi_train.errors import UserError

STYLE = ".gradio-container { width: 100% !important; max-width: 1280px !important; margin: auto }"
ImageArray = np.ndarray


def build(jobs: Jobs, model: str, weights: str, *, any_file: bool, note: str = "") -> gr.Blocks:
    """The page.

    Args:
        jobs: what the buttons ask for.
        model, weights: chosen at first.
        any_file: whether the path of any file on this machine may be given for weights.
        note: what else to say at the top.
    """
    with gr.Blocks(title="vfi_train", analytics_enabled=False) as page:
        gr.Markdown(f"# vfi_train\nFrames between frames: of two images, of an object in them, of a video. {note}")
        with gr.Row():
            network = gr.Dropdown(model_names(), value=model, label="Model", elem_id="model")
            trained = gr.Dropdown(
                weight_names(jobs.settings.runs), value=weights, allow_custom_value=any_file, elem_id="weights",
                label="Weights: shipped, of a training" + (", or the path of a file" if any_file else ""),
            )  # fmt: skip
        chosen = [network, trained]
        with gr.Tab("Two images"):
            _images(jobs, chosen)
        with gr.Tab("An object in time"):
            _object(jobs, chosen)
        with gr.Tab("Video"):
            _video(jobs, chosen)
    return page


def _images(jobs: Jobs, chosen: list[gr.Dropdown]) -> None:
    with gr.Row():
        with gr.Column():
            frame0 = _given("First image", "frame0")
            frame1 = _given("Last image", "frame1")
            count = _count()
            button = gr.Button("Interpolate", variant="primary", elem_id="make")
        viewer = _Viewer(jobs, "images")

    def make(model: str, weights: str, frame0: ImageArray, frame1: ImageArray, count: float) -> dict[Any, Any]:
        return viewer.show(jobs.frames(model, weights, frame0, frame1, int(count)))

    button.click(_told(make), [*chosen, frame0, frame1, count], viewer.parts)


def _object(jobs: Jobs, chosen: list[gr.Dropdown]) -> None:
    with gr.Row():
        with gr.Column():
            editor = gr.ImageEditor(
                label="First image: paint over an object and the way that it goes", type="numpy", image_mode="RGBA",
                brush=gr.Brush(colors=["#ff3b30"], default_size=24, color_mode="fixed"), sources=("upload",),
                transforms=(), layers=False, elem_id="editor", height=380,
            )  # fmt: skip
            last = _given("Last image", "last")
            gr.Markdown(
                "**Timing of what is painted.** Draw how far along its way it is; a double click straightens. Weights "
                "that know time maps (`ifrnet_tiny` with `ifrnet_tiny_d_synthetic`) are asked for one image with two "
                "timings; of others, two images are put together."
            )
            curve = gr.HTML(
                STRAIGHT, html_template=TEMPLATE, css_template=CURVE_STYLE, js_on_load=SCRIPT, elem_id="curve"
            )
            rest = gr.Radio(["stands still", "moves on"], value="stands still", label="All else", elem_id="rest")
            count = _count()
            button = gr.Button("Interpolate", variant="primary", elem_id="bend")
        viewer = _Viewer(jobs, "object")

    def bend(
        model: str, weights: str, editor: Any, frame1: ImageArray, curve: Any, rest: str, count: float
    ) -> dict[Any, Any]:
        frame0, mask = painted(editor)
        heights = [float(height) / 100 for height in curve]
        return viewer.show(
            jobs.manipulated(model, weights, frame0, frame1, mask, heights, rest == "moves on", int(count))
        )

    button.click(_told(bend), [*chosen, editor, last, curve, rest, count], viewer.parts)


def _video(jobs: Jobs, chosen: list[gr.Dropdown]) -> None:
    with gr.Row():
        with gr.Column():
            source = gr.Video(label="Video", sources=["upload"], elem_id="source", height=300)
            factor = gr.Slider(2, 16, 2, step=1, label="Frames for each one", elem_id="factor")
            codec = gr.Dropdown(["h264", "h265", "av1"], value="h264", label="Codec", elem_id="codec")
            button = gr.Button("Interpolate", variant="primary", elem_id="convert")
        with gr.Column():
            result = gr.Video(label="Result", interactive=False, elem_id="result", height=380, buttons=[])
            download = gr.DownloadButton("Download", interactive=False, elem_id="video_mp4")

    def convert(model: str, weights: str, source: str, factor: float, codec: str) -> tuple[Any, ...]:
        path = str(jobs.video(model, weights, source, int(factor), codec))
        return path, gr.DownloadButton(value=path, interactive=True)

    button.click(_told(convert), [*chosen, source, factor, codec], [result, download])


class _Viewer:
    """Made frames: one of them, a slider through time, and files to download."""

    def __init__(self, jobs: Jobs, name: str) -> None:
        self.jobs = jobs
        with gr.Column():
            self.frames = gr.State([])
            self.image = gr.Image(
                label="Result",
                interactive=False,
                elem_id=f"{name}_view",
                format="png",
                height=420,
                buttons=["fullscreen", "download"],
            )
            self.slider = gr.Slider(
                0, 1, 0, step=1, label="Through time: frame", interactive=False, elem_id=f"{name}_slider"
            )
            with gr.Row():
                self.gif, self.mp4 = (
                    gr.DownloadButton(f"Download {kind}", interactive=False, elem_id=f"{name}_{kind.lower()}")
                    for kind in ("GIF", "MP4")
                )
            gr.Markdown(f"Files play {RATE} frames per second.")
        self.parts = [self.frames, self.image, self.slider, self.gif, self.mp4]
        self.slider.change(
            lambda number, frames: frames[int(number)] if frames else None, [self.slider, self.frames], self.image,
            show_progress="hidden", trigger_mode="always_last",
        )  # fmt: skip

    def show(self, frames: list[ImageArray]) -> dict[Any, Any]:
        """Updates of the parts: the frame in the middle is shown first."""
        middle = len(frames) // 2
        saved = {ending: str(self.jobs.saved(frames, ending)) for ending in (".gif", ".mp4")}
        return {
            self.frames: frames,
            self.image: frames[middle],
            self.slider: gr.Slider(maximum=len(frames) - 1, value=middle, interactive=True),
            self.gif: gr.DownloadButton(value=saved[".gif"], interactive=True),
            self.mp4: gr.DownloadButton(value=saved[".mp4"], interactive=True),
        }


def _given(label: str, name: str) -> gr.Image:
    return gr.Image(
        label=label,
        type="numpy",
        image_mode="RGB",
        sources=["upload"],
        elem_id=name,
        height=240,
        buttons=["fullscreen"],
    )


def _count() -> gr.Slider:
    return gr.Slider(3, 65, 9, step=1, label="Frames, with the first and the last")


def _told(job: Callable[..., Any]) -> Callable[..., Any]:
    """Mistakes as a notice on the page."""

    def safe(*inputs: Any) -> Any:
        try:
            return job(*inputs)
        except (UserError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from None

    return safe
