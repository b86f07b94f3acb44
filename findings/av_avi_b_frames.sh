#!/usr/bin/env bash
# PyAV 18.1.0 (libavformat 62, libx264): times of frames decoded from H.264 with B-frames in .avi.
#
# Expected: frames come in the order in which they are shown, with times that grow, as from .mp4 of the same packets.
# Seen: AVI stores no presentation times, so libavformat gives each packet its decoding time; the decoder puts the frames
# into the right order but hands each the time of its packet: the times go up and down. Sorting frames by time, or
# repairing the times one by one, changes the footage; the order of decoding with evenly spaced times is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import av
import numpy as np


def decoded(path):
    with av.open(path) as clip:
        frames = [(frame.pts, float(frame.to_ndarray(format="gray").mean())) for frame in clip.decode(video=0)]
    return [pts for pts, _ in frames], [mean for _, mean in frames]


for path in ("clip.mp4", "clip.avi"):
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=24, options={"bf": "3", "b-adapt": "0", "x264-params": "scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(24):
            image = np.full((48, 64, 3), 20 + 9 * i, np.uint8)  # brighter from frame to frame: the order can be seen
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
for path in ("clip.mp4", "clip.avi"):
    times, means = decoded(path)
    print(path, "times:", times)
    assert means == sorted(means), "frames are not in the order in which they are shown"
    assert (times == sorted(times)) == (path == "clip.mp4"), times
PY
echo "as described"
