"""`python -m vfi_train.profile`: see conf/profile.yaml for its keys."""

import sys

from vfi_train.config.program import run
from vfi_train.profile.command import expanded

if __name__ == "__main__":
    sys.argv[1:] = [expanded(argument) for argument in sys.argv[1:]]
    run("profile", "vfi_train.profile.command:profile")
