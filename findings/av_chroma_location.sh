#!/usr/bin/env bash
# PyAV 18.1.0 (libswscale 9): where `VideoFrame.reformat` puts the chroma of 4:2:0.
#
# Expected: a frame sited "left" (H.264's default) comes back unchanged from YUV to RGB and back. Seen: chroma is read and
# written as if centred, and neither a frame nor `reformat` has an attribute for it: after a round trip through readers
# that do know it, colours lie half a pixel beside. FFmpeg's scale filter has in_chroma_loc and out_chroma_loc. Where
# a frame says that its chroma lies, only the log of the filter showinfo tells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
from fractions import Fraction

import av
import av.filter
import numpy as np

FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


def scaled(frame, options, pixel_format):
    graph = av.filter.Graph()
    source = graph.add_buffer(width=128, height=64, format=frame.format.name, time_base=Fraction(1, 24))
    nodes = [source, graph.add("scale", options), graph.add("format", pixel_format), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    graph.vpush(frame)
    return graph.vpull()


def cb(frame):  # the mean of the middle of a ramp of one level for each pixel of luma
    return float(np.frombuffer(bytes(frame.planes[1]), np.uint8).reshape(32, -1)[8:24, 8:56].mean())


ramp = av.VideoFrame(128, 64, "yuv420p")
ramp.pts, ramp.time_base = 0, Fraction(1, 24)
for index, plane in enumerate(ramp.planes):
    row = 64 + 2 * np.arange(plane.line_size) if index == 1 else np.full(plane.line_size, 128)
    plane.update(np.tile(row.clip(0, 255).astype(np.uint8), (plane.height, 1)).tobytes())
rgb = scaled(ramp, f"{FLAGS}:in_chroma_loc=left", "rgb48le")
found = {"reformat": cb(rgb.reformat(format="yuv420p", interpolation="BICUBIC"))}
for location in ("left", "center"):
    found[location] = cb(scaled(rgb, f"{FLAGS}:out_chroma_loc={location}", "yuv420p"))
print(f"given {cb(ramp)}, {found}")
off = {name: round(abs(value - cb(ramp)), 1) for name, value in found.items()}
assert off["reformat"] > 0.4 and off["left"] == 0 and off["center"] == 0.5, "the behaviour has changed"
PY
