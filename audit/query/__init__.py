"""What is asked of a trail: filters, pages, cursors, a row's past. Functions over a queryset."""

from audit.past import state_of
from audit.query.cursor import BadCursor, Place, read_cursor, write_cursor
from audit.query.filter import Filter, literally, matching
from audit.query.walk import Order, Page, end, page

__all__ = [
    "BadCursor",
    "Filter",
    "Order",
    "Page",
    "Place",
    "end",
    "literally",
    "matching",
    "page",
    "read_cursor",
    "state_of",
    "write_cursor",
]
