"""IFRNet: our tensors have the published names."""

LAYOUTS = (
    "plain state dict (`IFRNet_Vimeo90K.pth`, `IFRNet_GoPro.pth`, L and S alike), `state_dict` in a dict "
    "(InterpAny-Clearer's `latest.pth`)"
)
