"""Segment Anything, tiny and without training, in the published layout. Needs the package transformers."""

from __future__ import annotations

from pathlib import Path

import torch

SIDE = 64


def tiny_sam(folder: Path) -> Path:
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    vision = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": SIDE, "output_channels": 8,
        "mlp_dim": 16, "window_size": 2, "global_attn_indexes": [0], "num_pos_feats": 4,
    }  # fmt: skip
    decoder = {
        "hidden_size": 8, "mlp_dim": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 8,
        "iou_head_depth": 2,
    }  # fmt: skip
    prompt = {"hidden_size": 8, "image_size": SIDE, "mask_input_channels": 4}
    torch.manual_seed(0)
    SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    ).save_pretrained(folder)
    small = {"height": SIDE // 4, "width": SIDE // 4}
    SamProcessor(
        SamImageProcessor(
            size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE},
            mask_size={"longest_edge": SIDE // 4}, mask_pad_size=small,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder
