"""Components of other packages, and why one of them can't be a part of this DISCO."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint

from disco.engine import entry_point
from disco.engine.component import (
    CONTRACT,
    Component,
    Layer,
    inputs_of,
    outputs_class,
    spec_class,
)
from disco.engine.errors import Several, WrongUse

GROUP = "disco.components"
SECTION = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = "name"  # the one key of a stack file that is no section


def plugins(own: Iterable[type[Component]]) -> tuple[type[Component], ...]:
    """The components of other packages. Raises Several with what is wrong with any of them."""
    taken = dict.fromkeys((RESERVED, *(c.section for c in own)), "DISCO itself")
    found: list[type[Component]] = []
    errors: list[WrongUse] = []
    for entry in entry_point.found(GROUP):
        try:
            component = _component(entry, taken)
        except WrongUse as error:
            errors.append(error)
        else:
            taken[component.section] = entry_point.package(entry)
            found.append(component)
    if errors:
        raise Several([*errors])
    return tuple(found)


def _component(entry: EntryPoint, taken: Mapping[str, str]) -> type[Component]:
    component = entry_point.load(entry)
    if not (inspect.isclass(component) and issubclass(component, Component)):
        why = "it has to be a class derived from disco.plugin.Component"
        raise entry_point.refused(entry, "is no component", why)
    if component.contract != CONTRACT:
        raise _other_contract(entry, component)
    if why := _fault(component, taken):
        raise entry_point.refused(entry, "can't be a component", why)
    return component


def _other_contract(entry: EntryPoint, component: type[Component]) -> WrongUse:
    made = f"for contract {component.contract}" if component.contract else "for none that it names"
    return entry_point.refused(
        entry,
        "was made for another DISCO",
        f"it was written {made}; this DISCO has contract {CONTRACT}",
        f"install a version of it with `contract = {CONTRACT}`",
    )


def _fault(component: type[Component], taken: Mapping[str, str]) -> str:
    """What is wrong with it; empty for a sound one."""
    layer, section = getattr(component, "layer", None), getattr(component, "section", None)
    if not isinstance(layer, Layer):
        return (
            f"its layer is {layer!r}; choose one of {', '.join(f'Layer.{x.name}' for x in Layer)}"
        )
    if not (isinstance(section, str) and SECTION.fullmatch(section)):
        return f"its section is {section!r}; use small letters, digits and underscores"
    if section in taken:
        return f"the section `{section}` of a stack file is taken by {taken[section]}"
    if missing := sorted(component.__abstractmethods__):
        return f"it does not define {', '.join(missing)}"
    return _untyped(component)


def _untyped(component: type[Component]) -> str:
    """Annotations are read when a stack is wired; here it is known whose they are."""
    reading: tuple[Callable[[type[Component]], object], ...]
    reading = (spec_class, outputs_class, inputs_of)
    for read in reading:
        try:
            read(component)
        except Exception as error:
            return f"its annotations can't be read: {error}"
    return ""
