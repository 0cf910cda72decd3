"""The languages that sentences are shipped in: one TOML file each, named by its tag. A new file is a new language."""
