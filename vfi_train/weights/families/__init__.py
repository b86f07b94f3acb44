"""One file per family whose published tensor names differ from ours."""
