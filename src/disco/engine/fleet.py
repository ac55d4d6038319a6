"""Some hosts of many fail: so many may, the rest goes on; above that nothing new begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from disco.engine.component import Step


class Fleet:
    """The hosts of one component's steps that failed in this run.

    may_fail: so many hosts may; 0 when what stands on a failed step is always held back.
    """

    def __init__(self, steps: Iterable[Step], may_fail: int) -> None:
        self._at: Mapping[str, str] = {s.id: s.at for s in steps}
        self._may_fail = may_fail
        self.failed: set[str] = set()

    def note(self, step: Step) -> None:
        """A step failed."""
        if step.at:
            self.failed.add(step.at)

    @property
    def is_over(self) -> bool:
        """Whether more failed than may, where some may."""
        return 0 < self._may_fail < len(self.failed)

    @property
    def why(self) -> str:
        names = ", ".join(sorted(self.failed))
        return f"{len(self.failed)} hosts failed ({names}), at most {self._may_fail} may"

    def forgives(self, id: str, for_step: Step | None = None) -> bool:
        """Whether a step that did not go well holds another one back no longer; or, without that
        other one, counts as well for the component."""
        at = self._at[id]
        is_tolerated = at in self.failed and len(self.failed) <= self._may_fail
        return is_tolerated and (for_step is None or for_step.at != at)
