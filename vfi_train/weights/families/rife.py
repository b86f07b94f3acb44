"""RIFE: our tensors have the published names."""

# The privileged teacher is only for training: checkpoints and networks may lack it.
OPTIONAL = ["block_tea.*"]

LAYOUTS = "state dict with `module.` prefix or bare (`flownet.pkl`), `model` in a dict, with or without teacher"
