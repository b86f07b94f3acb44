"""Training steps in four parts, forward, losses, backward, optimizer: the program's own and the plain one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.plain.layers import plain_layers
from benchmarks.plain.losses import LOSSES
from vfi_train.config.compose import compose_config
from vfi_train.contract import Batch, Prediction
from vfi_train.modules.forward import in_network_order, predict
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.training.build import build_module
from vfi_train.training.command import plan_run
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.recipe import batch_shapes

PARTS = ("forward", "losses", "backward", "optimizer")
RECIPES = {
    "ifrnet_s": "ifrnet_s_vimeo",
    "amt_s": "amt_s_vimeo",
    "ema_vfi_small": "emavfi_small_vimeo",
    "atm_vfi_lite": "atmvfi_lite_vimeo",
    "rife": "rife_vimeo",
    "rife_v4_25": "rife_v4_25_septuplet",
    "ifrnet": "ifrnet_vimeo",
    "amt_l": "amt_l_vimeo",
    "ema_vfi": "emavfi_vimeo",
    "atm_vfi_base": "atmvfi_base_vimeo",
}
SMALL = tuple(RECIPES)[:6]
OVERRIDES = {"rife_v4_25": ("loss=rife4",)}  # as before the last part of its training: without VGG, which is not run


class Step:
    """The program's training step as `fit` does it.

    Args:
        plan: a training's.
        batch: of its samples.
        precision: "32-true" or "bf16-mixed".

    Attributes:
        loss: of the last step, on the device.
        norm: of the last step's gradients.
        schedule: of the learning rate; `run` leaves it where it is.
    """

    def __init__(self, plan: TrainingPlan, batch: Batch, precision: str = "32-true") -> None:
        self.module = make_module(plan).to(batch["frame0"].device).train()
        self.batch = batch
        self.optimizer = self.make_optimizer()
        self.half = precision == "bf16-mixed"
        self.loss = self.norm = torch.zeros(())

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW by the recipe."""
        self.module.configure_model()
        made = self.module.configure_optimizers()
        self.schedule = made["lr_scheduler"]["scheduler"]  # type: ignore[index]
        optimizer = made["optimizer"]
        assert isinstance(optimizer, torch.optim.Optimizer)
        return optimizer

    def run(self, mark: Callable[[str], None]) -> None:
        """One step; calls `mark` with the name of each part that has ended."""
        self.optimizer.zero_grad()
        batch = self.module.prepare(self.batch)
        with self.autocast():
            prediction = self.module.predict(batch)
            mark("forward")
            self.loss = self.module.compute_losses(prediction, batch)["total"]
        mark("losses")
        self.loss.backward()
        mark("backward")
        self.module.gradients.prepare(self.optimizer, None, None, False)
        self.norm = self.module.gradients.norm
        self.optimizer.step()
        mark("optimizer")

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.batch["frame0"].device.type, torch.bfloat16, enabled=self.half)


class PlainStep(Step):
    """The same recipe in a plain research repository: textbook losses and layers, numbers read at every step."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW as torch makes it when nothing else is said; weights lie as they were made."""
        self.module.channels_last = False
        group = super().make_optimizer().param_groups[0]
        options = {key: group[key] for key in ("lr", "betas", "eps", "weight_decay")}
        return torch.optim.AdamW([p for p in self.module.parameters() if p.requires_grad], **options)

    def run(self, mark: Callable[[str], None]) -> None:
        """See `Step.run`."""
        architecture = self.module.architecture
        with plain_layers():
            self.optimizer.zero_grad()
            batch = in_network_order(self.batch, architecture)
            with self.autocast():
                prediction: Prediction = predict(architecture, batch)
            mark("forward")
            values = LOSSES[architecture.family](prediction, batch)
            self.loss = torch.stack(list(values.values())).sum()
            mark("losses")
            self.loss.backward()
            mark("backward")
            self.norm = torch.nn.utils.get_total_norm([p.grad for p in self.trained() if p.grad is not None])
            for value in (*values.values(), self.loss, self.norm):
                value.item()
            self.optimizer.step()
            mark("optimizer")

    def trained(self) -> Iterator[torch.nn.Parameter]:
        return (p for p in self.module.parameters() if p.requires_grad)


def recipe(model: str, *overrides: str) -> TrainingPlan:
    """The plan of a model's published recipe."""
    return plan(f"experiment={RECIPES[model]}", "data.root=none", *OVERRIDES.get(model, ()), *overrides)


def plan(*overrides: str) -> TrainingPlan:
    """The plan of a training, by the overrides of the command line."""
    return plan_run(compose_config("train", overrides), {}, "benchmark")


def make_module(plan: TrainingPlan) -> InterpolationModule:
    """Network, losses and optimizer, the same initial weights each time."""
    torch.manual_seed(0)
    return build_module(plan)


def draw_batch(plan: TrainingPlan, samples: int, size: int | None, device: str, seed: int = 0) -> Batch:
    """Textures that move by some pixels, as the recipe wants them; crops of `size`, or the recipe's."""
    found = plan.datasets[0]
    side = size or (found.size or (256, 256))[0]
    shapes = batch_shapes(found, make_module(plan).architecture, samples, (side, side))
    generator = torch.Generator().manual_seed(seed)
    wide = texture(samples, side + 8, generator)
    tensors: dict[str, Tensor] = {
        name: wide[..., shift : shift + side, 2 * shift : 2 * shift + side].clone()
        for name, shift in (("frame0", 0), ("target", 2), ("frame1", 4))
    }
    tensors["time"] = torch.full(shapes["time"], 0.5)
    if "flow" in shapes:
        flow = torch.tensor([-4.0, -2.0, 4.0, 2.0]).view(1, 4, 1, 1)
        tensors["flow"] = flow + torch.rand(shapes["flow"], generator=generator)
    return {**{name: tensor.to(device) for name, tensor in tensors.items()}, "key": [""] * samples}  # type: ignore[return-value]


def texture(samples: int, side: int, generator: torch.Generator) -> Tensor:
    """Noise at several scales, B 3 H W: as in photographs, signs of features change from pixel to pixel."""
    total = torch.full((samples, 3, side, side), 0.5)
    for scale, amplitude in ((64, 0.25), (16, 0.15), (4, 0.08), (1, 0.02)):
        noise = torch.randn(samples, 3, side // scale + 2, side // scale + 2, generator=generator)
        total += amplitude * F.interpolate(noise, size=(side, side), mode="bicubic")
    return total.clamp(0, 1)
