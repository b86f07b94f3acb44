"""Patterns of parameter names: groups, freezing, and an optimizer's state by name."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from losses import LossSet
from losses.charbonnier import L1
from tests.helpers.in_process import planned, read_checkpoint, rows, train_tiny
from tests.helpers.recorder import Recorder
from vfi_train.architectures import Architecture, Encoding
from vfi_train.contract import Prediction
from vfi_train.errors import UserError
from vfi_train.modules.gradients import Gradients, propagate_nonfinite
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.optim.optimizers import build_optimizer, build_scheduler, learning_rate
from vfi_train.optim.parameters import (
    ParameterGroup,
    load_optimizer_state,
    optimizer_state_by_name,
    select_trainable,
)
from vfi_train.optim.schedules import Constant, WarmupCosine
from vfi_train.training.build import build_module


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()


# --- groups


def test_groups_have_their_own_rate_and_decay() -> None:
    net = network()
    groups = [ParameterGroup(["*.bias"], weight_decay=0.0), ParameterGroup(["0.*"], lr_factor=0.1)]
    make = functools.partial(torch.optim.SGD, lr=0.5, weight_decay=0.2)
    optimizer = build_optimizer(make, net, groups)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    step(net, optimizer)
    for name, parameter in net.named_parameters():
        rate = 0.05 if name == "0.weight" else 0.5  # the first group that matches has the biases
        decay = 0.0 if name.endswith("bias") else 0.2
        expected = before[name] - rate * (parameter.grad + decay * before[name])
        torch.testing.assert_close(parameter.detach(), expected)


def test_the_schedule_moves_every_group_by_its_factor() -> None:
    net = network()
    make = functools.partial(torch.optim.SGD, lr=0.5)
    optimizer = build_optimizer(make, net, [ParameterGroup(["1.*"], lr_factor=0.1)])
    schedule = WarmupCosine(floor=0.1)
    scheduler = build_scheduler(optimizer, schedule, 10)
    for number in range(10):
        expected = 0.1 + 0.4 * (1 + math.cos(math.pi * number / 10)) / 2
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([expected, 0.1 * expected])
        assert learning_rate(optimizer) == pytest.approx(expected)
        optimizer.step()
        scheduler.step()


def test_groups_of_a_configuration() -> None:
    groups = "parameter_groups=[{match: '*.bias', weight_decay: 0.0}, {match: ['encoder.*'], lr_factor: 0.2}]"
    module = build_module(planned("experiment=quickstart", groups, "optimizer.lr=1e-3", "optimizer.weight_decay=0.3"))
    optimizer = module.configure_optimizers()["optimizer"]
    decays = {name: g["weight_decay"] for g in optimizer.param_groups for name in g["param_names"]}
    rates = {name: g["initial_lr"] for g in optimizer.param_groups for name in g["param_names"]}
    assert decays.keys() == dict(module.architecture.named_parameters()).keys()
    for name in decays:
        assert decays[name] == (0.0 if name.endswith(".bias") else 0.3)
        faster = name.endswith(".bias") or not name.startswith("encoder.")
        assert rates[name] == pytest.approx(1e-3 if faster else 2e-4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("parameter_groups=[{match: ['*.bias'], decay: 0}]", "no key 'decay' in parameter_groups\\[0\\]"),
        ("parameter_groups=[{lr_factor: 2}]", "needs match"),
        ("parameter_groups=[{match: ['*.bia']}]", "no parameter of the network is called '\\*.bia'"),
        ("freeze=encoder", "freeze: no parameter .* 'encoder': did you mean 'encoder.\\*'"),
        (
            "parameter_groups=[{match: '*', weight_decay: -1}]",
            r"parameter_groups\[0\]\.weight_decay=-1 is not a number of 0",
        ),
        ("freeze=['encodr.*']", "freeze: no parameter .* 'encodr.\\*': did you mean 'encoder.*'"),
        ("train=[]", "no parameter of the network is trainable"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_module(planned("experiment=quickstart", override)).configure_optimizers()


# --- freezing


class Normed(Architecture):
    """Two blocks with running statistics."""

    family = "normed"

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.b = nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3, affine=False))

    def encode(self, frame0: torch.Tensor, frame1: torch.Tensor, *, scale: float = 1.0) -> Encoding:
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding: Encoding, time: torch.Tensor, **_: object) -> Prediction:
        return Prediction(frame=self.b(self.a(torch.cat((encoding.frame0, encoding.frame1), 1))))


def test_frozen_statistics_do_not_change_and_frozen_dropout_is_off() -> None:
    net = Normed()
    select_trainable(net, None, ["a.*"])
    make = functools.partial(torch.optim.SGD, lr=0.5)
    module = InterpolationModule(net, LossSet({"l1": L1()}), make, Constant(), 10)
    module.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    frames = torch.rand(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second = (net.a(torch.cat(tuple(frames), 1)) for _ in range(2))
    assert torch.equal(first, second)
    net(frames[0], frames[1])
    for name, tensor in net.state_dict().items():
        assert torch.equal(before[name], tensor) == (
            name.startswith("a.") or name == "b.0.weight" or name == "b.0.bias"
        )


def test_frozen_parameters_do_not_move_and_have_no_state(tmp_path: Path) -> None:
    freeze = "freeze=['encoder.*', '*.bias']"
    run = train_tiny(
        tmp_path,
        "trainer.max_steps=3",
        "optimizer.weight_decay=0.1",
        freeze,
        "weights=ifrnet_tiny_synthetic",
        Recorder.begin(),
    )
    first, last = Recorder.weights[0], Recorder.weights[-1]
    states = optimizer_state_by_name(read_checkpoint(run / "checkpoints" / "last.ckpt")["optimizer_states"][0])
    assert len(Recorder.weights) == 3
    for name in first:
        short = name.removeprefix("architecture.")
        is_frozen = short.startswith("encoder.") or short.endswith(".bias")
        assert torch.equal(first[name], last[name]) == is_frozen, name
        assert (short in states) != is_frozen, name


# --- an optimizer's state


def test_state_is_loaded_by_name_and_new_parameters_start_empty() -> None:
    net = network()
    make = functools.partial(torch.optim.AdamW, lr=0.01)
    select_trainable(net, ["1.*", "0.bias"], [])
    first = build_optimizer(make, net, [ParameterGroup(["0.*"])])
    for _ in range(3):
        step(net, first)
    memory = optimizer_state_by_name(first.state_dict())
    assert memory.keys() == {"1.weight", "1.bias", "0.bias"}
    select_trainable(net, None, ["1.bias"])
    second = build_optimizer(functools.partial(torch.optim.AdamW, lr=0.5), net)
    assert load_optimizer_state(second, memory) == ["0.bias", "1.weight"]
    named = dict(net.named_parameters())
    assert named["0.weight"] not in second.state
    for name in ("0.bias", "1.weight"):
        for key, value in memory[name].items():
            assert torch.equal(second.state[named[name]][key], value)
    assert second.param_groups[0]["lr"] == 0.5
    step(net, second)
    assert second.state[named["0.bias"]]["step"] == 4
    assert second.state[named["0.weight"]]["step"] == 1


# --- gradients


def test_clipping_by_norm_and_by_value() -> None:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    parameters = list(net.parameters())
    for algorithm in ("norm", "value"):
        for number, parameter in enumerate(parameters):
            parameter.grad = torch.full_like(parameter, number + 1.0)
        gradients = Gradients()
        gradients.prepare(optimizer, 2.0, algorithm, scaled=False)
        squares = sum((number + 1) ** 2 * p.numel() for number, p in enumerate(parameters))
        assert gradients.norm.item() == pytest.approx(math.sqrt(squares))
        got = [p.grad.max().item() for p in parameters]
        factor = 2 / math.sqrt(squares)
        assert got == pytest.approx([factor * n for n in (1, 2, 3, 4)] if algorithm == "norm" else [1, 2, 2, 2])


def test_a_training_clips_as_configured(tmp_path: Path) -> None:
    run = train_tiny(tmp_path, "trainer.max_steps=2", "trainer.gradient_clip_val=0.01", Recorder.begin())
    assert all(float(row["train/gradient_norm"]) > 0.05 for row in rows(run))  # before clipping
    assert Recorder.gradient_norms == pytest.approx([0.01] * len(Recorder.gradient_norms), rel=1e-4)
    assert Recorder.gradient_norms


def test_a_loss_that_is_not_finite_has_no_finite_gradient() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(propagate_nonfinite(3 * x), x)
    assert gradient.item() == 3
    for constant in (math.inf, math.nan):
        (gradient,) = torch.autograd.grad(propagate_nonfinite(3 * x + constant), x)
        assert gradient.isnan()
