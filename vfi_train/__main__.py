"""`python -m vfi_train`: train what the configuration says. See conf/train.yaml for its keys."""

from vfi_train.config.program import run
from vfi_train.runtime.child_process import exit_with_parent
from vfi_train.runtime.early_signals import ignore_signals, note_signals


def main() -> None:
    """Run the training program on the command line's arguments."""
    note_signals()
    exit_with_parent()
    try:
        run("train", "vfi_train.training.command:train")
    finally:
        ignore_signals()


if __name__ == "__main__":
    main()
