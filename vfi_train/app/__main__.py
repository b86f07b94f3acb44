"""`python -m vfi_train.app`: see conf/app.yaml for its keys."""

from vfi_train.config.program import run

if __name__ == "__main__":
    run("app", "vfi_train.app.command:app")
