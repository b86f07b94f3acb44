"""Train, compare and reproduce video frame interpolation networks."""
