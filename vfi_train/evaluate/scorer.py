"""The columns of a result: scores of each predicted image."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from losses.backbones import backbone_folder
from losses.learned import NETWORKS, lpips_network
from vfi_train.errors import UserError, nearest
from vfi_train.metrics.dists import DISTSNetwork
from vfi_train.metrics.flolpips import flolpips
from vfi_train.metrics.functional import interpolation_error, psnr, round_to_8_bit
from vfi_train.metrics.image_metrics import VARIANTS, check_name
from vfi_train.metrics.motion import Image, temporal_difference
from vfi_train.metrics.niqe import niqe, read_pristine
from vfi_train.metrics.vmaf import find_ffmpeg, vmaf

OfSequence = Callable[[list[Image], list[Image]], list[float]]  # predicted and true, inputs included, to scores between
Score = Callable[[Tensor, Tensor], Tensor]  # prediction and target B 3 H W, RGB in [0, 1], to B numbers
PRISTINE = "niqe_pris_params.npz"
SEQUENCE = ("tof", "flolpips_dis", "vmaf")
LEAVE_OUT = "(leave it out by metrics=[psnr,ssim])"


class Scorer:
    """Scores images by the columns of a protocol.

    Args:
        metrics: columns and their options: psnr {rounded, luma}, ssim {variant: 3d, 2d or uniform; rounded}, ie {},
            lpips_alex, lpips_vgg, lpips_squeeze, dists and niqe {rounded}; tof {}, flolpips_dis {} and vmaf {} of
            sequences.
        backbones: folder of the networks of LPIPS and DISTS; None: torch's cache.
        niqe_parameters: the file of NIQE's statistics; None: in the folder of the backbones.

    Raises:
        UserError: an unknown column or option, or a missing file or program.

    Attributes:
        scores: by column, of metrics of single images.
        of_sequences: by column, of metrics of all frames between two inputs.
    """

    def __init__(
        self,
        metrics: Mapping[str, Mapping[str, Any]],
        backbones: str | Path | None = None,
        niqe_parameters: str | Path | None = None,
    ) -> None:
        self._networks: list[nn.Module] = []
        self.backbones, self.niqe_parameters = backbones, niqe_parameters
        makers: dict[str, Callable[..., Any]] = {
            "psnr": self._psnr,
            "ssim": self._ssim,
            "ie": self._ie,
            **{f"lpips_{net}": partial(self._lpips, net) for net in NETWORKS},
            "dists": self._dists,
            "niqe": self._niqe,
            "tof": self._tof,
            "flolpips_dis": self._flolpips,
            "vmaf": self._vmaf,
        }
        self.scores: dict[str, Score] = {}
        self.of_sequences: dict[str, OfSequence] = {}
        for name, options in metrics.items():
            check_name(name)
            if name not in makers:
                raise UserError(f"there is no metric {name!r}: {nearest(name, makers)}")
            known = inspect.signature(makers[name]).parameters
            for key in options:
                if key not in known:
                    raise UserError(f"the metric {name} has no option {key!r}: {nearest(key, known)}")
            made = makers[name](**options)
            (self.of_sequences if name in SEQUENCE else self.scores)[name] = made

    def to(self, device: torch.device) -> None:
        """Move the metrics' networks."""
        for network in self._networks:
            network.to(device)

    @torch.inference_mode()
    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, list[float]]:
        """B numbers for each column; NaN where the metric is undefined for an image."""
        return {name: score(prediction, target).tolist() for name, score in self.scores.items()}

    def sequence(
        self, frame0: Image, frame1: Image, predicted: list[Image], true: list[Image]
    ) -> dict[str, list[float]]:
        """A number for each frame between two inputs, H W 3, for each column of sequences."""
        ends = [[frame0, *frames, frame1] for frames in (predicted, true)]
        return {name: score(*ends) for name, score in self.of_sequences.items()}

    @staticmethod
    def _psnr(rounded: bool = False, luma: bool = False) -> Score:
        return lambda prediction, target: psnr(prediction, target, rounded=rounded, luma=luma)

    @staticmethod
    def _ssim(variant: str = "3d", rounded: bool = False) -> Score:
        if variant not in VARIANTS:
            raise UserError(f"there is no variant={variant} of SSIM: {nearest(str(variant), VARIANTS)}")
        return lambda prediction, target: VARIANTS[variant](prediction, target, rounded=rounded)

    @staticmethod
    def _ie() -> Score:
        return interpolation_error

    def _lpips(self, net: str, /, rounded: bool = False) -> Score:
        network = lpips_network(net, self.backbones, reader=f"the metric lpips_{net} {LEAVE_OUT}")
        return self._network_score(network, rounded, lambda image: 2 * image - 1)

    def _dists(self, rounded: bool = False) -> Score:
        return self._network_score(DISTSNetwork(self.backbones, f"the metric dists {LEAVE_OUT}"), rounded)

    def _network_score(
        self, network: nn.Module, rounded: bool, prepare: Callable[[Tensor], Tensor] = lambda image: image
    ) -> Score:
        self._networks.append(network)

        def score(prediction: Tensor, target: Tensor) -> Tensor:
            prediction = round_to_8_bit(prediction) if rounded else prediction
            distance: Tensor = network(prepare(prediction), prepare(target))
            return distance.double().flatten()

        return score

    def _niqe(self, rounded: bool = False) -> Score:
        path = self.niqe_parameters or backbone_folder(self.backbones) / PRISTINE
        try:
            pristine = read_pristine(path)
        except UserError as error:
            raise UserError(f"{error} by niqe_parameters=FILE, or leave NIQE out by metrics=[psnr,ssim]") from error

        def score(prediction: Tensor, target: Tensor) -> Tensor:
            values = []
            for image in prediction.split(1):
                try:
                    values.append(niqe(image, pristine, rounded=rounded).item())
                except UserError:  # flat images are left out of the mean, as in the published scripts
                    values.append(math.nan)
            return torch.tensor(values, dtype=torch.float64)

        return score

    @staticmethod
    def _tof() -> OfSequence:
        return lambda predicted, true: temporal_difference(predicted[:-1], true[:-1])

    def _flolpips(self) -> OfSequence:
        network = lpips_network("alex", self.backbones, reader=f"the metric flolpips_dis {LEAVE_OUT}")
        self._networks.append(network)
        return lambda predicted, true: flolpips(predicted[:-1], true[:-1], network)

    @staticmethod
    def _vmaf() -> OfSequence:
        ffmpeg = find_ffmpeg(f"the metric vmaf {LEAVE_OUT}")
        return lambda predicted, true: vmaf(predicted, true, ffmpeg)[1:-1]
