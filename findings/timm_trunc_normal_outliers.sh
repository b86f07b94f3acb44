#!/usr/bin/env bash
# timm 1.0.31 and torch 2.15.0 (CPU, x86_64): initial weights of Swin-like networks, drawn by `trunc_normal_` with a
# standard deviation of 0.02 and the default ends -2 and 2.
#
# Expected: of a normal distribution, 6 standard deviations at most among millions of weights; and, since both libraries
# have the function, the same numbers for the same seed. Seen: timm's gives about one weight in 17 million the value -2,
# 100 standard deviations below the mean: its uniform numbers start at exactly -1, where the inverse of the error function
# is minus infinity, and the end is at -2. PyTorch's draws other numbers for the same seed, without such outliers. A
# network with 16 million such weights, as EMA-VFI, begins with at least one of them for six of ten seeds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 torchvision==0.29.2 timm==1.0.31 numpy==2.4.6
OMP_NUM_THREADS=2 "$folder/venv/bin/python" - <<'PY'
import timm.layers
import torch

COUNT, DRAWS, STD = 1 << 24, 16, 0.02
draw = {"timm": timm.layers.trunc_normal_, "torch": torch.nn.init.trunc_normal_}
outliers, first = {}, {}
for library, function in draw.items():
    torch.manual_seed(0)
    outliers[library] = 0
    for number in range(DRAWS):
        weights = function(torch.empty(COUNT), std=STD)
        outliers[library] += int((weights.abs() > 50 * STD).sum())
        if number == 0:
            first[library] = weights
    print(f"{library}: {outliers[library]} of {COUNT * DRAWS:,} weights beyond 50 standard deviations")
same = torch.equal(first["timm"], first["torch"])
print(f"the same numbers for the same seed: {same}")
assert outliers["timm"] > 0 and outliers["torch"] == 0 and not same, "the behaviour has changed"
PY
