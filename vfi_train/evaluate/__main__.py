"""`python -m vfi_train.evaluate`: see conf/evaluate.yaml for its keys."""

from vfi_train.config.program import run

if __name__ == "__main__":
    run("evaluate", "vfi_train.evaluate.command:evaluate")
