"""Where datasets are published: addresses that can be fetched, and instructions for the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSource:
    """Where a dataset comes from.

    Args:
        what: a description.
        terms: its licence, or where its terms can be read.
        files: addresses that can be fetched.
        size: of all files, approximately.
        by_hand: what to do instead.
    """

    what: str
    terms: str
    files: tuple[str, ...] = ()
    size: str = ""
    by_hand: str = ""


TOFLOW = "http://data.csail.mit.edu/tofu"
MIDDLEBURY = "https://vision.middlebury.edu/flow/data/comp/zip"
XIPH = "https://media.xiph.org/video/derf"

DATASETS = {
    "vimeo90k": DatasetSource(
        "73,171 triplets of 448x256",
        "none stated on http://toflow.csail.mit.edu; its videos are their makers'",
        (f"{TOFLOW}/dataset/vimeo_triplet.zip",),
        "33 GB",
    ),
    "vimeo_septuplet": DatasetSource(
        "91,701 septuplets of 448x256",
        "none stated on http://toflow.csail.mit.edu; its videos are their makers'",
        (f"{TOFLOW}/dataset/vimeo_septuplet.zip",),
        "82 GB",
    ),
    "middlebury": DatasetSource(
        "Other and the evaluation set, two frames of each, with the true frames of Other",
        "none stated on https://vision.middlebury.edu/flow/data",
        tuple(f"{MIDDLEBURY}/{n}.zip" for n in ("other-color-twoframes", "other-gt-interp", "eval-color-twoframes")),
        "20 MB",
    ),
    "davis": DatasetSource(
        "DAVIS 2017, 90 clips at 480p",
        "to be read on https://davischallenge.org",
        ("https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",),
        "0.8 GB",
    ),
    "x4k1000fps": DatasetSource(
        "X-TRAIN and X-TEST",
        "research and education only",
        by_hand="follow the links on https://github.com/JihyongOh/XVFI, then decode X-TRAIN's videos (task=layout)",
    ),
    "gopro": DatasetSource(
        "GOPRO_Large_all, 33 videos",
        "CC BY 4.0",
        by_hand="fetch GOPRO_Large_all.zip by the links on https://seungjunnah.github.io/Datasets/gopro",
    ),
    "adobe240": DatasetSource(
        "Adobe240, high-speed videos",
        "to be read on https://www.cs.ubc.ca/labs/imager/tr/2017/DeepVideoDeblurring",
        by_hand="fetch the original high-speed videos there and decode them (task=layout)",
    ),
    "snu_film": DatasetSource(
        "SNU-FILM, four splits",
        "to be read on https://myungsub.github.io/CAIN",
        by_hand="fetch SNU-FILM_test.zip and eval_modes.zip by the links there",
    ),
    "ucf101": DatasetSource(
        "UCF101's 379 test triplets",
        "to be read on https://github.com/liuziwei7/voxel-flow",
        by_hand="fetch ucf101_interp.zip by the link there",
    ),
    "xiph": DatasetSource(
        "eight Netflix clips, 4096x2160, 10 bits",
        f"to be read on {XIPH}",
        by_hand=f"fetch the eight .y4m files, 10 to 20 GB each, from {XIPH} and decode them (task=layout)",
    ),
    "hd": DatasetSource(
        "eleven raw videos",
        "to be read on https://github.com/baowenbo/MEMC-Net",
        by_hand="fetch HD_dataset by the link there",
    ),
    "atd12k": DatasetSource(
        "ATD-12K, triplets of animation",
        "research only; to be read on https://github.com/lisiyao21/AnimeInterp",
        by_hand="fetch datasets.zip by the link there",
    ),
    "co3d": DatasetSource(
        "Common Objects in 3D, a choice of objects",
        "CC BY-NC 4.0, to be agreed to",
        by_hand="agree on https://github.com/facebookresearch/co3d and use the download script there, then choose "
        "objects (task=layout)",
    ),
}
