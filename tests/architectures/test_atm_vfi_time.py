"""ATM-VFI at any time, which is ours: half way it is the published network, elsewhere it learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from losses.charbonnier import charbonnier
from tests.helpers.golden_cases import assert_near, frame
from vfi_train.architectures import create_model
from vfi_train.architectures.atm_vfi import ATMVFIt
from vfi_train.architectures.atm_vfi.motion import share
from vfi_train.inference.interpolator import Interpolator
from vfi_train.weights import load_published, published_state_dict


@torch.no_grad()
@pytest.mark.parametrize("switches", [(False, False), (True, False), (True, True)])
def test_half_way_it_is_the_published_network_to_the_bit(switches: tuple[bool, bool]) -> None:
    global_motion, ensemble = switches
    torch.manual_seed(0)
    plain = create_model("atm_vfi_lite", global_motion=global_motion, ensemble_global_motion=ensemble).eval()
    timed = create_model("atm_vfi_lite_t", global_motion=global_motion, ensemble_global_motion=ensemble).eval()
    load_published(timed, published_state_dict(plain))
    pair = frame(64, 64, 0.0, 3), frame(64, 64, 1.0, 3)
    expected = plain(*pair)
    half_map = torch.full((1, 1, 64, 64), 0.5)
    for time in (0.5, half_map):
        got = timed(*pair, time)
        assert torch.equal(got.frame, expected.frame)
        assert torch.equal(got.flow0[-1], expected.flow0[-1])
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    assert not torch.equal(timed(*pair, ramp).flow0[-1], expected.flow0[-1])


@torch.no_grad()
@pytest.mark.parametrize("ensemble", [False, True])
def test_a_reference_is_frame_0_unless_one_is_given(ensemble: bool) -> None:
    torch.manual_seed(0)
    model = create_model("atm_vfi_lite_t", ensemble_global_motion=ensemble, reference=True).eval()
    frame0, frame1 = frame(64, 64, 0.0, 3), frame(64, 64, 1.0, 3)
    zero = torch.zeros(1, 1, 64, 64)
    expected = model(frame0, frame1, 0.6).frame
    assert_near(model(frame0, frame1, 0.6, reference=frame0, reference_time=zero).frame, expected, 0)
    for other in ({"reference": frame0, "reference_time": 0.4}, {"reference": frame1 * 0, "reference_time": zero}):
        assert not torch.equal(model(frame0, frame1, 0.6, **other).frame, expected)
    steps = Interpolator(model, iterations=2).predict(frame0, frame1, 0.6).frame
    half_way = model(frame0, frame1, 0.3, reference=frame0, reference_time=0.0).frame
    assert_near(steps, model(frame0, frame1, 0.6, reference=half_way, reference_time=0.3).frame, 1e-6)


@pytest.mark.parametrize("name", ["atm_vfi_base_t", "atm_vfi_lite_t"])
def test_a_reference_widens_the_first_convolution_alone(name: str) -> None:
    with torch.device("meta"):
        plain, wide = (dict(create_model(name, reference=r).named_parameters()) for r in (False, True))
    assert plain.keys() == wide.keys()
    (grown,) = (key for key in plain if plain[key].shape != wide[key].shape)
    assert grown == "encoder.0.0.0.weight"
    assert wide[grown].shape[1] == 7  # frame, reference, how far the reference is


def test_each_frame_has_its_share_of_the_motion() -> None:
    motion = torch.rand(4, 3, 5, 2, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([0.25, 1.0]).view(2, 1, 1, 1)
    of_frame0, of_frame1 = share(motion, times).chunk(2)
    assert_near(of_frame0, motion[:2] * torch.tensor([0.5, 2.0]).view(2, 1, 1, 1), 1e-7)
    assert_near(of_frame1, motion[2:] * torch.tensor([1.5, 0.0]).view(2, 1, 1, 1), 1e-7)


@pytest.mark.slow  # a quarter of a minute, or two
@pytest.mark.long
def test_it_learns_where_things_are_at_two_times() -> None:
    """A texture moves by eight pixels; a network that ignores the time cannot do better than half way between."""
    torch.manual_seed(0)
    model = ATMVFIt((8, 16, 32, 48, 64), 1, 64, 96, 16, global_motion=False).train()
    frame0, frame1 = moved(0.0).expand(2, -1, -1, -1), moved(1.0).expand(2, -1, -1, -1)
    times = torch.tensor([0.25, 0.75]).view(2, 1, 1, 1)
    target = torch.cat((moved(0.25), moved(0.75)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(300):
        loss = charbonnier(model(frame0, frame1, times).frame - target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    blind = (target[0] - target[1]).abs().mean() / 2
    assert loss < blind / 2  # five seeds ended at 0.05 to 0.23 of `blind`


def moved(time: float) -> Tensor:
    """32x32 pixels of a texture that goes 8 to the right."""
    left = 16 - round(8 * time)
    return frame(32, 64, 0.0, 1)[..., left : left + 32]
