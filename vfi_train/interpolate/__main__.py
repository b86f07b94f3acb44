"""`python -m vfi_train.interpolate`: see conf/interpolate.yaml for its keys."""

from vfi_train.config.program import run

if __name__ == "__main__":
    run("interpolate", "vfi_train.interpolate.command:interpolate")
