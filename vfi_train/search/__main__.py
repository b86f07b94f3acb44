"""`python -m vfi_train.search`: see conf/search.yaml for its keys."""

import sys

if __name__ == "__main__":
    from vfi_train.config.program import run
    from vfi_train.search.space import collect_space

    sys.argv[1:] = collect_space(sys.argv[1:])
    run("search", "vfi_train.search.command:search")
