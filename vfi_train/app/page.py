"""The page of `vfi_train.app`: its layout, and the job of each button. Needs Gradio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from PIL import ImageColor

from datamodules.storage.image_io import ImageArray
from vfi_train.app.curve_widget import SCRIPT, STRAIGHT, TEMPLATE
from vfi_train.app.curve_widget import STYLE as CURVE_STYLE
from vfi_train.app.jobs import RATE, Jobs, painted, weight_names
from vfi_train.errors import UserError

STYLE = ".gradio-container { width: 100% !important; max-width: 1280px !important; margin: auto }"
COLOURS = {"Red": "#ff3b30", "Green": "#34c759", "Blue": "#0a84ff"}  # of the brush: an object each


def build(jobs: Jobs, model: str, weights: str, *, any_file: bool, note: str = "") -> gr.Blocks:
    """The page.

    Args:
        jobs: of the buttons.
        model, weights: chosen at first.
        any_file: whether weights may be the path of any file on this machine.
        note: more text at the top.
    """
    with gr.Blocks(title="vfi_train", analytics_enabled=False) as page:
        gr.Markdown(f"# vfi_train\nFrames between frames: of two images, of an object in them, of a video. {note}")
        with gr.Row():
            network = gr.Dropdown(jobs.models, value=model, label="Model", elem_id="model")
            trained = gr.Dropdown(
                weight_names(jobs.runs), value=weights, allow_custom_value=any_file, elem_id="weights",
                label="Weights: shipped, of a training" + (", or the path of a file" if any_file else ""),
            )  # fmt: skip
        chosen = [network, trained]
        with gr.Tab("Two images"):
            _two_images(jobs, chosen)
        with gr.Tab("An object in time"):
            _object(jobs, chosen)
        with gr.Tab("Video"):
            _video(jobs, chosen)
    return page


def _two_images(jobs: Jobs, chosen: list[gr.Dropdown]) -> None:
    with gr.Row():
        with gr.Column():
            frame0 = _image("First image", "frame0")
            frame1 = _image("Last image", "frame1")
            count = _count()
            button = gr.Button("Interpolate", variant="primary", elem_id="interpolate")
        viewer = _Viewer(jobs, "images")

    def interpolate(model: str, weights: str, frame0: ImageArray, frame1: ImageArray, count: float) -> dict[Any, Any]:
        return viewer.show(jobs.frames(model, weights, frame0, frame1, int(count)))

    button.click(_with_notices(interpolate), [*chosen, frame0, frame1, count], viewer.parts, api_name="interpolate")


def _object(jobs: Jobs, chosen: list[gr.Dropdown]) -> None:
    with gr.Row():
        with gr.Column():
            editor = gr.ImageEditor(
                label="First image: paint over objects and their paths, a colour for each", type="numpy",
                image_mode="RGBA", sources=("upload",),
                brush=gr.Brush(colors=list(COLOURS.values()), default_size=24, color_mode="fixed"),
                transforms=(), layers=False, elem_id="editor", height=380,
            )  # fmt: skip
            last = _image("Last image", "last")
            gr.Markdown(
                "**Timing of what is painted** in each colour. Draw how far along its path it is; a double click "
                "resets the curve. "
                "Weights for time maps (`ifrnet_tiny` with `ifrnet_tiny_d_synthetic`) predict one image with two "
                "timings; with others, two images are composed."
            )
            curves = []
            for name in COLOURS:
                with gr.Tab(name, elem_id=f"tab_{name.lower()}"):
                    curves.append(
                        gr.HTML(
                            STRAIGHT,
                            html_template=TEMPLATE,
                            css_template=CURVE_STYLE,
                            js_on_load=SCRIPT,
                            elem_id=f"curve_{name.lower()}",
                        )
                    )
            complete = gr.Checkbox(
                value=jobs.segment is not None, visible=jobs.segment is not None, elem_id="complete",
                label="A dab on an object is enough: Segment Anything finds the rest of it",
            )  # fmt: skip
            if jobs.segment is None:
                gr.Markdown("Started with `sam=FOLDER`, the page finds an object from a dab (Segment Anything).")
            rest = gr.Radio(["is fixed", "moves"], value="is fixed", label="The rest", elem_id="rest")
            count = _count()
            button = gr.Button("Interpolate", variant="primary", elem_id="manipulate")
        viewer = _Viewer(jobs, "object")

    def manipulate(
        model: str, weights: str, editor: Any, frame1: ImageArray, rest: str, count: float, *others: Any
    ) -> dict[Any, Any]:
        frame0, masks = painted(editor, [ImageColor.getrgb(colour)[:3] for colour in COLOURS.values()])
        *curves, complete = others
        heights = [[float(height) / 100 for height in curve] for curve in curves] if masks else []
        return viewer.show(
            jobs.manipulated(model, weights, frame0, frame1, masks, heights, rest == "moves", int(count), complete)
        )

    button.click(
        _with_notices(manipulate), [*chosen, editor, last, rest, count, *curves, complete], viewer.parts,
        api_name="manipulate",
    )  # fmt: skip


def _video(jobs: Jobs, chosen: list[gr.Dropdown]) -> None:
    with gr.Row():
        with gr.Column():
            source = gr.Video(label="Video", sources=["upload"], elem_id="source", height=300)
            factor = gr.Slider(2, 16, 2, step=1, label="Frames for each input frame", elem_id="factor")
            codec = gr.Dropdown(["h264", "h265", "av1"], value="h264", label="Codec", elem_id="codec")
            button = gr.Button("Interpolate", variant="primary", elem_id="convert")
        with gr.Column():
            result = gr.Video(label="Result", interactive=False, elem_id="result", height=380, buttons=[])
            download = gr.DownloadButton("Download", interactive=False, elem_id="video_mp4")

    def convert(model: str, weights: str, source: str, factor: float, codec: str) -> tuple[Any, ...]:
        path = str(jobs.video(model, weights, source, int(factor), codec))
        return path, gr.DownloadButton(value=path, interactive=True)

    button.click(_with_notices(convert), [*chosen, source, factor, codec], [result, download], api_name="video")


class _Viewer:
    """Predicted frames: one of them, a slider through time, and files to download."""

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
            self.slider = gr.Slider(0, 1, 0, step=1, label="Frame", interactive=False, elem_id=f"{name}_slider")
            with gr.Row():
                self.gif, self.mp4 = (
                    gr.DownloadButton(f"Download {kind}", interactive=False, elem_id=f"{name}_{kind.lower()}")
                    for kind in ("GIF", "MP4")
                )
            gr.Markdown(f"Files play {RATE} frames per second.")
        self.parts = [self.frames, self.image, self.slider, self.gif, self.mp4]
        self.slider.change(
            lambda number, frames: frames[int(number)] if frames else None, [self.slider, self.frames], self.image,
            show_progress="hidden", trigger_mode="always_last", api_visibility="private",
        )  # fmt: skip

    def show(self, frames: list[ImageArray]) -> dict[Any, Any]:
        """Updates of the parts, with the middle frame shown."""
        middle = len(frames) // 2
        saved = {ending: str(self.jobs.saved(frames, ending)) for ending in (".gif", ".mp4")}
        return {
            self.frames: frames,
            self.image: frames[middle],
            self.slider: gr.Slider(maximum=len(frames) - 1, value=middle, interactive=True),
            self.gif: gr.DownloadButton(value=saved[".gif"], interactive=True),
            self.mp4: gr.DownloadButton(value=saved[".mp4"], interactive=True),
        }


def _image(label: str, name: str) -> gr.Image:
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
    return gr.Slider(3, 65, 9, step=1, label="Frames, including the first and the last")


def _with_notices(job: Callable[..., Any]) -> Callable[..., Any]:
    """The job, with a UserError shown as a notice on the page."""

    def run(*inputs: Any) -> Any:
        try:
            return job(*inputs)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return run
