"""`python -m vfi_train`: train what the configuration says. See conf/train.yaml for its keys."""

from vfi_train.cli import ignore_signals, note_signals, run
from vfi_train.parent import die_with_parent


def main() -> None:
    """Run the training program on the command line's arguments."""
    note_signals()
    die_with_parent()
    try:
        run("train", "vfi_train.train:train")
    finally:
        ignore_signals()


if __name__ == "__main__":
    main()
