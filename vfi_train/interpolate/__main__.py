"""`python -m vfi_train.interpolate`: see conf/interpolate.yaml for its keys."""

import sys

from vfi_train.config.program import run
from vfi_train.interpolate.command import quoted

if __name__ == "__main__":
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    run("interpolate", "vfi_train.interpolate.command:interpolate")
