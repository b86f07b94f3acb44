"""RIFE: our tensors have the published names."""

# The privileged teacher serves training alone: some checkpoints lack it, and so may a network for inference.
OPTIONAL = ["block_tea.*"]

LAYOUTS = "state dict with `module.` prefix or bare (`flownet.pkl`), `model` in a dict, with or without teacher"
