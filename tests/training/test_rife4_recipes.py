"""The recipes of RIFE 4: crops that do not suit the network, VGG late in the training, a frozen head in fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.golden_cases import frame
from tests.helpers.in_process import planned
from vfi_train.contract import Batch
from vfi_train.errors import UserError
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.training.build import build_module
from vfi_train.training.dry_run import describe_recipe

NARROW = "+model.widths=[8,8,8,8,8]"
LAST = 287_700  # steps


def module(*overrides: str) -> InterpolationModule:
    torch.manual_seed(0)
    return build_module(planned(NARROW, *overrides))


def batch() -> Batch:
    frames = {name: frame(64, 64, phase, 0) for name, phase in (("frame0", 0.0), ("target", 0.5), ("frame1", 1.0))}
    return Batch(**frames, time=torch.full((1, 1, 1, 1), 0.5))  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("model", "size", "multiple"), [("rife_v4_25", 224, 64), ("rife_v4_25_lite", 192, 128), ("rife_v4_6", 240, 32)]
)
def test_crops_that_do_not_suit_the_network_are_refused(model: str, size: int, multiple: int) -> None:
    crop = f"data.transforms=[{{_target_:datamodules.transforms.RandomCrop,size:{size}}}]"
    plan = planned("experiment=rife_v4_25_septuplet", "loss=rife4", f"model={model}", crop)
    with pytest.raises(UserError, match=f"multiples of {multiple} .*got {size}x{size}.* change the crop"):
        describe_recipe(plan)


def test_vgg_is_run_in_the_last_part_of_the_training_only(backbones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = module("experiment=rife_v4_25_septuplet", f"backbones={backbones}")
    term = recipe.loss.terms["perceptual"]
    first = next(step for step in range(LAST) if term.weight_at(step))
    assert first == 0.7 * LAST
    assert term.weight_at(first) == term.weight_at(LAST) == 0.1
    given = batch()
    prediction = recipe.predict(given)
    late = recipe.loss(prediction, given, first)
    assert late["perceptual"] > 0
    monkeypatch.setattr(type(term), "parts", None)
    early = recipe.loss(prediction, given, first - 1)
    assert early["perceptual"] == 0
    assert early["total"] == early["blends"] == late["blends"]


def test_fine_tuning_leaves_the_head_and_compares_the_last_blend() -> None:
    recipe = module("experiment=rife_v4_25_finetune")
    frozen = {name.partition(".")[0] for name, p in recipe.architecture.named_parameters() if not p.requires_grad}
    assert frozen == {"head"}
    given = batch()
    prediction = recipe.predict(given)
    assert prediction.merged is not None
    total = recipe.loss(prediction, given)["total"]
    prediction.merged[:-1] = [torch.zeros_like(blend) for blend in prediction.merged[:-1]]
    assert recipe.loss(prediction, given)["total"] == total
