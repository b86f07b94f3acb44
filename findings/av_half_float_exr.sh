#!/usr/bin/env bash
# PyAV 18.1.0 (libavcodec 62, libswscale 9): half floats of OpenEXR above 1.
#
# Expected: an .exr of half floats, decoded as gbrpf16le and converted to gbrpf32le, keeps its values, as one of 32-bit
# floats does. Seen: libswscale clips half floats to [0, 1] on the way, without a word; the planes themselves are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
from fractions import Fraction

import av
import numpy as np

image = np.full((16, 16, 3), 2.5, np.float32)
largest = {}
for kind in ("float", "half"):
    encoder = av.codec.CodecContext.create("exr", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "gbrpf32le", Fraction(1)
    encoder.options = {"format": kind}
    packets = [*encoder.encode(av.VideoFrame.from_ndarray(image, format="gbrpf32le")), *encoder.encode(None)]
    decoder = av.codec.CodecContext.create("exr", "r")
    frame = [*decoder.decode(av.Packet(bytes(packets[0]))), *decoder.decode(None)][0]
    largest[kind] = float(frame.reformat(format="gbrpf32le").to_ndarray().max())
    if kind == "half":
        plane = float(np.frombuffer(bytes(frame.planes[0]), np.float16).max())
print(f"converted: {largest}; in the plane of half floats: {plane}")
assert (largest["float"], largest["half"], plane) == (2.5, 1.0, 2.5), "the behaviour has changed"
PY
