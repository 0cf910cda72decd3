"""The Django application of all peers: label `docs`, its models captured by the package that the worker drives.

Beside it one adapter per package. None of this is imported in the project's own environment but by tools.
"""
