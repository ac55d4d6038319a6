"""What a member may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """reader: opens secrets. operator: changes them too. admin: changes the team too."""

    READER = "reader"
    OPERATOR = "operator"
    ADMIN = "admin"
