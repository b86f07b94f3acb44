"""The recipes as a plain research repository writes them: the measure that benchmarks/train_step.py compares with."""
