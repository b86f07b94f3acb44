"""LightningModules: `base.InterpolationModule` trains every family; a family adds a file where it needs more."""
