"""`python -m vfi_train.prepare`: see conf/prepare.yaml for its tasks."""

from vfi_train.config.program import run

if __name__ == "__main__":
    run("prepare", "vfi_train.prepare.command:prepare")
