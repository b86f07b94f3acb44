"""IFRNet against the published networks: goldens `ifrnet*`."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.golden_cases import assert_near, frame, load

VARIANTS = ("ifrnet", "ifrnet_s", "ifrnet_l")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["levels", "batch2", "scale08", "eightfold"])
def test_inference_equals_the_published_network(variant: str, name: str) -> None:
    case = load(variant, name)
    model, inputs = case.model().eval(), case.info["inputs"]
    size = (inputs["height"], inputs["width"])
    times = torch.tensor(case.info["timestep"]).view(-1, 1, 1, 1)
    frame0, frame1 = (frame(*size, phase, inputs["seed"], inputs["batch"]) for phase in (0.0, 1.0))
    frame0, frame1 = (f.expand(len(times), -1, -1, -1) for f in (frame0, frame1))
    with torch.no_grad():
        got = model(frame0, frame1, times, scale=case.info["scale_factor"])
    seen = {"pred": got.frame, "merged": got.merged[0], "mask": got.mask[0], "residual": got.residual}
    flows = [torch.cat(pair, dim=1) for pair in zip(got.flow0, got.flow1, strict=True)]
    seen |= {f"flow_level{4 - i}": flow for i, flow in enumerate(flows)} | {"flow_full": flows[-1]}
    compared = [key for key in seen if key in case.arrays]
    assert "pred" in compared
    for key in compared:
        assert_near(seen[key], case.arrays[key], 1e-5, key)
