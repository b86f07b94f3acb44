#!/usr/bin/env bash
# OpenVINO 2026.4.1 (CPU plug-in, Linux): two cores, the first freed before the second.
#
# Expected: when both are gone, signal handlers run on the stack that they ran on before. Seen: compiling for the CPU
# gives the thread another stack for signal handlers; each core puts back what it had found when it is freed, so the
# second puts back that of the first, which is no longer mapped. The next signal with a handler of Python's, such as
# SIGTERM, would then end the process with a segmentation fault. Keep one core for the life of the process.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openvino==2026.4.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import ctypes
import sys

sys.modules["openvino_telemetry"] = None  # as if it were not installed: no reports from here
import numpy as np
import openvino
from openvino import opset13


class SignalStack(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def stack() -> str:
    found = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    if not found.address:
        return "none"
    maps = [line.split()[0].split("-") for line in open("/proc/self/maps")]
    mapped = any(int(start, 16) <= found.address < int(end, 16) for start, end in maps)
    return "mapped" if mapped else "not mapped"


def compiled():
    image = opset13.parameter([1, 8], np.float32)
    core = openvino.Core()
    return core, core.compile_model(openvino.Model([opset13.relu(image)], [image]), "CPU")


seen = [stack()]
first = compiled()
second = compiled()
seen.append(stack())
del first
del second
seen.append(stack())
print("before, with two cores, after both:", ", ".join(seen))
assert seen == ["none", "mapped", "not mapped"], "the behaviour has changed"
PY
