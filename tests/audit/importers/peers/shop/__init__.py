"""The app whose history the three packages keep, for `peers/generate.py` alone."""
