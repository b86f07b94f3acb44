"""Endings of files, in lower case."""

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".exr")  # that are read
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".y4m")
ICC_ENDINGS = (".png", ".jpg", ".jpeg")  # of images that are written with a colour profile
