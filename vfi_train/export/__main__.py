"""`python -m vfi_train.export`: see conf/export.yaml for its keys."""

from vfi_train.config.program import run

if __name__ == "__main__":
    run("export", "vfi_train.export.command:export")
