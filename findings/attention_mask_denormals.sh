#!/usr/bin/env bash
# torch 2.15.0 (CPU, x86_64): attention within shifted windows, masked by -100 as Swin's code and its descendants do.
#
# Expected: pairs that are kept apart cost what others cost. Seen: softmax turns logits 100 below the others into weights
# near exp(-100) = 4e-44, which are denormal float32 numbers, and the product of such weights with the values takes many
# times as long; so does the backward pass. A mask of -200 gives zeros, the same result to the bit, at the usual speed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PY'
import time

import torch

torch.manual_seed(0)
logits, values = torch.randn(256, 49, 49), torch.randn(256, 49, 32)
apart = torch.arange(49) >= 28  # of a shifted window: two regions
apart = apart[:, None] != apart[None]


def attend(mask: float) -> tuple[float, torch.Tensor, int]:
    weights = torch.softmax(logits + mask * apart, dim=-1)
    denormal = int(((weights > 0) & (weights < torch.finfo(torch.float32).tiny)).sum())
    seconds = []
    for _ in range(9):
        start = time.process_time()
        result = weights @ values
        seconds.append(time.process_time() - start)
    return min(seconds), result, denormal


slow, masked, many = attend(-100.0)
fast, zeroed, none = attend(-200.0)
print(f"mask -100: {1000 * slow:.1f} ms, {many:,} denormal weights; -200: {1000 * fast:.1f} ms, {none} denormal weights")
print(f"{slow / fast:.0f} times as long; largest difference {float((masked - zeroed).abs().max())}")
assert many > 0 and none == 0 and slow > 4 * fast and torch.equal(masked, zeroed), "the behaviour has changed"
PY
