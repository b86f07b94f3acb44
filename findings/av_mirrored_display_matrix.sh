#!/usr/bin/env bash
# PyAV 18.1.0 (libavformat 62): VideoFrame.rotation of a clip whose display matrix mirrors.
#
# Expected by a reader that turns frames by `frame.rotation`: 0 for a clip that is only mirrored.
# Seen: 180 (or -180) for a left-right mirror, 0 for a top-bottom mirror. A reader that uses `rotation` alone shows
# the first upside down (a half turn of a mirrored image is the other mirror) and the second not mirrored at all.
# The complete matrix stands in the frame's side data (DISPLAYMATRIX); its determinant is below zero for a mirror.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import struct

import av
import numpy as np

with av.open("plain.mp4", "w") as out:
    stream = out.add_stream("mpeg4", rate=24)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for i in range(4):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:24, :32] = 60 * i
        out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
    out.mux(stream.encode())

plain = open("plain.mp4", "rb").read()
at = plain.index(b"tkhd") + 4 + 4 + 36  # version, flags; then times, duration, layer, volume
identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
assert plain[at : at + 36] == identity
seen = {}
for name, a, d, x, y in (("plain", 1, 1, 0, 0), ("left-right", -1, 1, 64, 0), ("top-bottom", 1, -1, 0, 48)):
    matrix = struct.pack(">9i", a << 16, 0, 0, 0, d << 16, 0, x << 16, y << 16, 1 << 30)
    with open("clip.mp4", "wb") as file:
        file.write(plain[:at] + matrix + plain[at + 36 :])
    with av.open("clip.mp4") as clip:
        frame = next(clip.decode(video=0))
        data = [bytes(d) for d in frame.side_data if d.type.name == "DISPLAYMATRIX"]
        numbers = struct.unpack("<9i", data[0]) if data else None
        determinant = None if numbers is None else (numbers[0] * numbers[4] - numbers[1] * numbers[3]) >> 32
        seen[name] = (abs(frame.rotation), determinant)
        print(f"{name}: rotation {frame.rotation}, determinant {determinant}")
expected = {"plain": (0, None), "left-right": (180, -1), "top-bottom": (0, -1)}
assert seen == expected, seen
PY
echo "as described"
