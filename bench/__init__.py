"""Benchmarks: what the project promises of speed and size, measured on a database of their own.

`make bench` runs all, `make bench ARGS="size page"` some. Each prints a table and writes JSON under
`var/bench/`. They are no tests: nothing fails when a figure is missed, and a busy machine misses some.
"""
