"""`python -m vfi_train.runs`: see conf/runs.yaml for its keys."""

from vfi_train.config.program import run

if __name__ == "__main__":
    run("runs", "vfi_train.runs.command:list_runs")
