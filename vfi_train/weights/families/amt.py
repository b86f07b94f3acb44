"""AMT: our tensors have the published names."""

LAYOUTS = (
    "`state_dict` in a dict (`amt-s.pth`, `gopro_amt-s.pth`, InterpAny-Clearer's `latest.pth`, ...), the trainer's own "
    "files, `module.` prefix"
)
