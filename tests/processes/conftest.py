"""What the tests of real processes share."""

from empty_stack import stack

__all__ = ["stack"]
