"""A host application: an engineer's own Django applications behind Daybook's walls, with their changes captured.

docs/embedding.md tells the same in words.
"""
