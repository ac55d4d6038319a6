"""The contract of a component: typed spec, inputs by annotation, read-only observe, pure steps."""

from __future__ import annotations

import inspect
import types
import typing
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from typing import Any, ClassVar, TypeVar

from disco.engine.action import Action
from disco.engine.check import Check
from disco.engine.errors import DiscoError
from disco.engine.gate import Executor
from disco.engine.place import Place
from disco.engine.secret import Lookup
from disco.stack.model import Model

T = TypeVar("T")
CONTRACT = 1  # goes up when a component that was written for an earlier one would not work


class Layer(IntEnum):
    """From servers to services: how a plan is ordered for people, and what `--layer` names."""

    SERVERS = 0
    CLUSTER = 1
    PLATFORM = 2
    AKASH = 3
    SERVICES = 4

    @property
    def title(self) -> str:
        return self.name.lower()


class Outputs(Model):
    """What a component gives to others. Subclassed once per component; the class is the edge."""


@dataclass(frozen=True)
class Step:
    """One change that a person would recognise.

    id:    unique within the component, for example `h1/containerd`.
    after: ids of steps of the same component that must be done before.
    estimate_s: seconds that it usually takes; only for display.
    at:    the host that it is about, when its failure says nothing about other hosts.
    """

    id: str
    title: str
    actions: tuple[Action, ...]
    after: tuple[str, ...] = ()
    estimate_s: float = 1.0
    at: str = ""


@dataclass(frozen=True)
class StatusLine:
    """One line of `disco status`: a thing, its state in a word or two, where it can be reached."""

    thing: str
    state: str
    address: str = ""
    ok: bool = True


class World:
    """The readers that adapters offer, by their type. Nothing in it changes anything."""

    def __init__(self, *readers: object) -> None:
        self._readers = {type(r): r for r in readers}

    def add(self, reader: object, kind: type[Any] | None = None) -> None:
        self._readers[kind or type(reader)] = reader

    def __getitem__(self, kind: type[T]) -> T:
        for known, reader in self._readers.items():
            if issubclass(known, kind):
                return typing.cast(T, reader)
        raise LookupError(f"no {kind.__name__} in this world")


class Component(ABC):
    """A unit of a layer. Attributes annotated with another component's Outputs are its inputs.

    `T | None` marks an input that may be missing from the stack. `place` is where the stack keeps
    things on this machine.
    """

    layer: ClassVar[Layer]
    section: ClassVar[str]  # its key in stack.yaml
    many: ClassVar[bool] = False  # the section is a mapping of name -> spec
    implied: ClassVar[bool] = False  # part of every stack, also without its section
    is_ground: ClassVar[bool] = False  # its removal destroys everything that stands on it
    contract: ClassVar[int] = 0  # in other packages: the CONTRACT that it was written for
    spec: Any

    def __init__(self, name: str, spec: Any, inputs: dict[str, Any], place: Place) -> None:
        self.name = name
        self.spec = spec
        self.place = place
        for key, value in inputs.items():
            setattr(self, key, value)

    @abstractmethod
    async def observe(self, world: World) -> Any:
        """What is there now. Reads only."""

    @abstractmethod
    def nothing(self) -> Any:
        """What `observe` would return in an empty place."""

    async def remembered(self, world: World) -> Any:
        """What is known of it where nothing can be seen, since what carries it is not there. Reads
        the store alone."""
        return self.nothing()

    def forgetting(self, seen: Any) -> Iterator[Step]:
        """What of that is to be undone when what carried it is taken down. Pure."""
        yield from ()

    @abstractmethod
    def steps(self, seen: Any) -> Iterator[Step]:
        """What is missing. Pure: same spec, inputs and seen, same steps."""

    @abstractmethod
    def outputs(self, seen: Any) -> Outputs:
        """What others may build on. Pure; with placeholders for what is not known yet."""

    @classmethod
    def takes(cls, spec: Any, attribute: str) -> bool:
        """Whether one with this spec takes an input that may be missing. Pure."""
        return True

    def exists(self, seen: Any) -> bool:
        """Whether what stands on this component can be observed."""
        return not list(self.steps(seen))

    def exists_partly(self, seen: Any) -> bool:
        """Whether what stands on it can be looked at although some of it is missing. It is looked
        at again when the rest is there."""
        return False

    def removal(self, seen: Any, ground_goes: bool) -> Iterator[Step]:
        """The orderly way out. Pure.

        ground_goes: the machines under it are destroyed too, so what is on them needs no step.
        """
        return iter(())

    def loses(self, seen: Any) -> list[str]:
        """What its removal destroys for good, in plain words, whoever carries it out."""
        found = [d for s in self.removal(seen, False) for a in s.actions for d in a.destroys]
        return list(dict.fromkeys(found))

    async def observe_left(self, world: World, was: Any) -> Any:
        """What is there of `was`, this component as it was declared before, that is no longer
        declared. Reads only."""
        return None

    def refused(self, left: Any, was: Any) -> list[DiscoError]:
        """What can't be declared otherwise than in `was` while it is there, each with its fix.
        Pure; not asked on the way out."""
        return []

    def leaving(self, left: Any, was: Any) -> Iterator[Step]:
        """The orderly way out of what is no longer declared, while the component stays. Pure.

        left: what `observe_left` saw.
        """
        return iter(())

    def may_fail(self) -> int:
        """How many hosts' steps may fail while the others go on."""
        return 0

    def notes(self, seen: Any) -> list[str]:
        """What a person should know before its steps are carried out. Pure."""
        return []

    def checks(self, world: World) -> Iterator[Check]:
        return iter(())

    async def status(self, world: World) -> list[StatusLine]:
        return []

    @classmethod
    def executors(cls, world: World, lookup: Lookup) -> Mapping[str, Executor]:
        """Who carries out the kinds of action that this component defines itself, by kind.

        lookup: a secret's value, at the moment of use.
        """
        return {}


@dataclass(frozen=True)
class Input:
    """An edge: attribute name, the Outputs class it needs, whether it may be missing."""

    attribute: str
    outputs: type[Outputs]
    optional: bool


@cache
def inputs_of(component: type[Component]) -> tuple[Input, ...]:
    """The edges that a component's annotations declare."""
    found = []
    for name, annotation in typing.get_type_hints(component).items():
        options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
        for option in options:
            if inspect.isclass(option) and issubclass(option, Outputs):
                found.append(Input(name, option, type(None) in options))
    return tuple(found)


@cache
def outputs_class(component: type[Component]) -> type[Outputs]:
    """The class that `outputs()` is annotated to return."""
    kind = typing.get_type_hints(component.outputs)["return"]
    if not (inspect.isclass(kind) and issubclass(kind, Outputs)):
        raise TypeError(f"{component.__name__}.outputs must be annotated with its Outputs class")
    return kind


@cache
def spec_class(component: type[Component]) -> type[Model]:
    kind = typing.get_type_hints(component)["spec"]
    if not (inspect.isclass(kind) and issubclass(kind, Model)):
        raise TypeError(f"{component.__name__}.spec must be annotated with its Model class")
    return kind


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def pending(steps: Iterable[Step], done: Collection[str]) -> Iterator[Step]:
    """Those steps that still have something to do, without the actions that are done.

    done: identities of actions that would change nothing. Waiting for something that is there now
    is waited for again when what it comes after is about to change.
    """
    found = list(steps)
    changing = _changing(found, done)
    left: list[Step] = []
    for step in found:
        again = any(a in changing for a in step.after)
        actions: list[Action] = []
        for action in step.actions:
            if action.identity not in done or (action.waits and (actions or again)):
                actions.append(action)
        same = len(actions) == len(step.actions)
        left.append(step if same else replace(step, actions=tuple(actions)))
    return without(left, {s.id for s in left if not s.actions})


def _changing(steps: Sequence[Step], done: Collection[str]) -> set[str]:
    """Those that have something to do, and all that come after one of them."""
    behind: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        for a in step.after:
            behind[a].append(step.id)
    todo = [s.id for s in steps if any(a.identity not in done for a in s.actions)]
    changing = set(todo)
    while todo:
        more = [id for id in behind[todo.pop()] if id not in changing]
        changing.update(more)
        todo += more
    return changing


def without(steps: Sequence[Step], out: Collection[str]) -> Iterator[Step]:
    """The steps but these. What came after one of them comes after what that one came after."""
    after = {s.id: s.after for s in steps}
    for step in steps:
        if step.id not in out:
            behind = any(a in out for a in step.after)
            yield replace(step, after=_before(step, after, out)) if behind else step


def _before(
    step: Step, after: Mapping[str, tuple[str, ...]], out: Collection[str]
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    todo, passed = list(reversed(step.after)), set()
    while todo:
        id = todo.pop()
        if id not in out:
            found[id] = None
        elif id not in passed:
            passed.add(id)
            todo += reversed(after[id])
    return tuple(found)
