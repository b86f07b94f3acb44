"""`python -m vfi_train.profile`: see conf/profile.yaml for its keys."""

from vfi_train.config.program import run

if __name__ == "__main__":
    run("profile", "vfi_train.profile.command:profile", patterns_of="model")
