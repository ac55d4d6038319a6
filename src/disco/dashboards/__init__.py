"""Dashboards as data: what components declare, and the files that are shipped."""

from disco.dashboards.board import Board, Link, Panel, Query, Row, Threshold
from disco.dashboards.shipped import FOLDER, filled, shipped

__all__ = [
    "FOLDER",
    "Board",
    "Link",
    "Panel",
    "Query",
    "Row",
    "Threshold",
    "filled",
    "shipped",
]
