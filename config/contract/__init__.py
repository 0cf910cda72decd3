"""The OpenAPI document as others rely on it: its words, its shape for generators of clients, and what would break one.

`shape` turns what drf-spectacular collected from the views into the document, with the texts of `words` and the
examples of `samples`; `breaking` compares two documents. Pure, but that it names the classes of errors and enums.
"""
