"""LightningModules: `InterpolationModule` trains every family."""
