"""What comes before training: datasets fetched, verified, packed, and given flow labels and distance maps."""
