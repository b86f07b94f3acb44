"""From video or image files to files with more frames: reading, planning of times, prediction, writing.

`readers` gives frames with their times, `frame_times` plans the output frames, `pairs` finds the pairs between which
nothing is predicted, `frame_stream` predicts the others, `writers` writes. `pipeline` runs all of them in parallel.
"""
