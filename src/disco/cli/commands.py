"""Names and flags of every command that has a stack; the work is in the module each one names."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from disco.cli.app import (
    CHANGE,
    INSIDE,
    LOOK,
    STACK,
    WRITE,
    AllowDestroy,
    Excluded,
    File,
    Form,
    Json,
    LayerName,
    Parallel,
    Targets,
    Yes,
    app,
    flag,
)
from disco.engine.errors import WrongUse

CUT_OFF = 130


def run(work: Coroutine[Any, Any, int], when_cut_off: str = "cut off") -> int:
    """Carry out what a command does; Ctrl-C ends it with a word and the exit code of shells."""
    import asyncio
    import logging

    from disco.cli.speak import talk

    logging.getLogger("stamina").addHandler(logging.NullHandler())  # progress says it better
    try:
        return asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        if when_cut_off:
            talk(f"\n{when_cut_off}", "yellow")
        return CUT_OFF


def _change(work: Coroutine[Any, Any, int]) -> int:
    return run(work, "cut off: what is done stays; run the same command again to go on")


@app.command(group=WRITE, sort_key=1)
def init(
    *,
    file: File = STACK,
    set: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative="",
            show_default=False,
            consume_multiple=False,
            help="A variable and its value, `servers.count=3`; again for others.",
        ),
    ] = (),
    force: Annotated[bool, flag(help="Write over a file that is there.")] = False,
) -> int:
    """Write a stack file with every variable explained."""
    from disco.cli import init as module
    from disco.layers import registry

    return module.init(file, registry.sections(), module.answers(set), force)


@app.command(group=WRITE, sort_key=2)
def config(*, file: File = STACK, json: Json = False) -> int:
    """List every variable: its value, where it came from, its meaning."""
    from disco.cli import config as module
    from disco.layers import registry

    return module.config(file, registry.sections(), json)


@app.command(group=WRITE, sort_key=3)
def validate(*, file: File = STACK, json: Json = False) -> int:
    """Say all that is wrong with a stack file."""
    from disco.cli import validate as module
    from disco.layers import registry

    return module.validate(file, registry.sections(), json)


@app.command(group=WRITE, sort_key=4)
def schema() -> int:
    """Print the JSON Schema of stack files, for editors."""
    from disco.cli import schema as module
    from disco.layers import registry

    return module.schema(registry.sections())


@app.command(group=CHANGE, sort_key=5)
def plan(
    *,
    file: File = STACK,
    json: Json = False,
    commands: Annotated[bool, flag(help="Show the plain commands.")] = False,
    layer: LayerName = None,
    target: Targets = (),
    exclude: Excluded = (),
    destroy: Annotated[bool, flag("--destroy", help="Plan the way out, as `down` takes it.")] = (
        False
    ),
    out: Annotated[Path | None, Parameter(help="Keep the plan there, for `disco apply`.")] = None,
    format: Form = "text",
) -> int:
    """Show what would change, by layer; changes nothing."""
    from disco.cli import apply as module

    how = module.Shown("json" if json else format, commands, out)
    return run(module.plan(file, how, module.way(layer, target, exclude, destroy)))


@app.command(group=CHANGE, sort_key=5)
def show(
    plan: Path,
    /,
    *,
    commands: Annotated[bool, flag(help="Show the plain commands.")] = False,
    format: Form = "text",
) -> int:
    """Show a plan that was kept in a file.

    Parameters
    ----------
    plan
        A file made by `disco plan --out`.
    """
    from disco.cli import saved as module

    return module.show(plan, format, commands)


@app.command(group=CHANGE, sort_key=5)
def sign(
    plan: Path,
    /,
    *,
    key: Annotated[Path, Parameter(help="Your SSH key; a public one for a key in an agent.")],
) -> int:
    """Sign a plan that was kept in a file; the signature stands beside it.

    Parameters
    ----------
    plan
        A file made by `disco plan --out`.
    """
    from disco.cli import saved as module

    return module.sign(plan, key)


@app.command(group=CHANGE, sort_key=6)
def apply(
    plan: Path | None = None,
    /,
    *,
    file: File = STACK,
    yes: Yes = False,
    allow_destroy: AllowDestroy = False,
    json: Json = False,
    parallel: Parallel = 16,
    layer: LayerName = None,
    target: Targets = (),
    exclude: Excluded = (),
    signers: Annotated[
        Path | None,
        Parameter(help="Who may have signed the plan: a file of allowed signers of ssh-keygen."),
    ] = None,
) -> int:
    """Carry out what is missing; run again after an interruption.

    Parameters
    ----------
    plan
        A file made by `disco plan --out`: exactly that is carried out, or nothing when what is
        there has changed since.
    """
    from disco.cli import apply as module

    how = module.Agreed(yes, allow_destroy, json, parallel)
    if plan is None:
        if signers:
            raise WrongUse("--signers is for a plan that was kept", fix="disco apply PLAN")
        return _change(module.apply(file, how, module.way(layer, target, exclude)))
    if layer or target or exclude:
        raise WrongUse("what it aims at is part of the plan that was kept", fix="leave it out")
    return _change(module.apply_saved(file, plan, signers, how))


@app.command(group=CHANGE, sort_key=7)
def up(
    *,
    file: File = STACK,
    yes: Yes = False,
    allow_destroy: AllowDestroy = False,
    json: Json = False,
    parallel: Parallel = 16,
) -> int:
    """Go the whole way: plan, apply, check, addresses."""
    from disco.cli import apply as module

    return _change(module.up(file, module.Agreed(yes, allow_destroy, json, parallel)))


@app.command(group=CHANGE, sort_key=8)
def down(
    *,
    file: File = STACK,
    yes: Yes = False,
    allow_destroy: AllowDestroy = False,
    json: Json = False,
    parallel: Parallel = 16,
    layer: LayerName = None,
    target: Targets = (),
    exclude: Excluded = (),
) -> int:
    """Destroy what the stack made; what is lost is named first."""
    from disco.cli import apply as module

    how = module.Agreed(yes, allow_destroy, json, parallel)
    return _change(module.down(file, how, module.way(layer, target, exclude, destroy=True)))


@app.command(group=LOOK, sort_key=9)
def status(*, file: File = STACK, json: Json = False) -> int:
    """Show what runs, by layer, how to reach it, and what is not as declared."""
    from disco.cli import status as module

    return run(module.status(file, json))


@app.command(group=LOOK, sort_key=9)
def top(
    *,
    file: File = STACK,
    once: Annotated[bool, flag("--once", help="Print one snapshot, also at a terminal.")] = False,
    every: Annotated[float, Parameter(help="Seconds from one look to the next, at least 1.")] = 5.0,
    json: Annotated[bool, flag("--json", help="Print one snapshot as data.")] = False,
) -> int:
    """Watch the network at a glance: q quits, ? tells the other keys.

    Without a terminal, one snapshot. Changes nothing.
    """
    from disco.cli import top as module

    return run(module.top(file, once, every, json))


@app.command(group=LOOK, sort_key=9)
def diff(*, file: File = STACK, json: Json = False) -> int:
    """Show what is no longer as declared, field by field, and who changed it."""
    from disco.cli import diff as module

    return run(module.diff(file, json))


@app.command(group=LOOK, sort_key=10)
def check(
    *,
    file: File = STACK,
    only: Annotated[str, Parameter(help="Beginnings of check ids, with commas.")] = "",
    json: Json = False,
    junit: Annotated[Path | None, Parameter(help="Write JUnit XML there.")] = None,
    parallel: Annotated[int, Parameter(help="Checks that run at the same time.")] = 8,
    layer: LayerName = None,
    wait: Annotated[
        float, Parameter(help="Seconds that it may take to settle: what is red is asked again.")
    ] = 0,
) -> int:
    """Ask whether it really works; each red answer has a fix."""
    from disco.cli import check as module

    return run(module.check(file, only, json, junit, parallel, layer, wait))


@app.command(group=LOOK, sort_key=10)
def alerts(name: str = "", /, *, file: File = STACK, json: Json = False) -> int:
    """Show the alerts that fire now, each with what to do; exit code 3 if there are any.

    Parameters
    ----------
    name
        Print the page of one instead: what it means, where to look, how to mend it.
    """
    from disco.cli import alerts as module

    return module.runbook(name) if name else run(module.alerts(file, json))


@app.command(group=LOOK, sort_key=11)
def graph(
    *,
    file: File = STACK,
    format: Annotated[Literal["text", "mermaid", "dot"], Parameter(help="How it is drawn.")] = (
        "text"
    ),
    json: Json = False,
) -> int:
    """Show the components, and which stands on which."""
    from disco.cli import graph as module

    return module.graph(file, format, json)


@app.command(group=LOOK, sort_key=12)
def history(
    *,
    file: File = STACK,
    run: Annotated[str, Parameter(help="Show what this run did; the beginning of its id.")] = "",
    json: Json = False,
) -> int:
    """List the runs: when, who, what, how it ended."""
    from disco.cli import history as module

    return module.history(file, run, json)


@app.command(group=LOOK, sort_key=13)
def events(
    *,
    file: File = STACK,
    follow: Annotated[bool, flag("--follow", help="Wait for more.")] = False,
    tail: Annotated[int, Parameter(help="How many of the last ones; 0 for all.")] = 0,
    json: Annotated[bool, flag("--json", help="One object a line.")] = False,
) -> int:
    """Show the journal, action by action."""
    from disco.cli import events as module

    return run(module.events(file, follow, tail, json), when_cut_off="")


@app.command(group=LOOK, sort_key=13)
def console(
    *,
    file: File = STACK,
    port: Annotated[int, Parameter(help="Where the browser finds it; 0 for any that is free.")] = (
        8420
    ),
    listen: Annotated[
        str, Parameter(help="Another address than loopback: there is no TLS.")
    ] = "127.0.0.1",
) -> int:
    """Show the stack in a browser: what runs, checks, events, graph, plan; changes nothing."""
    from disco.cli import console as module

    return run(module.console(file, listen, port), when_cut_off="")


@app.command(group=LOOK, sort_key=14)
def doctor(
    *,
    file: File = STACK,
    bundle: Annotated[
        Path | None,
        Parameter(help="Write there, as .tar.gz, what somebody who helps needs; without secrets."),
    ] = None,
    json: Json = False,
) -> int:
    """Say what is wrong, the likeliest cause first, and what to do; changes nothing."""
    from disco.cli import doctor as module

    return run(module.doctor(file, json, bundle))


@app.command(group=INSIDE, sort_key=15)
def logs(
    name: str,
    /,
    *,
    file: File = STACK,
    follow: Annotated[bool, flag("--follow", help="Wait for more.")] = (False),
    tail: Annotated[int, Parameter(help="Lines from the end of each log.")] = 100,
    since: Annotated[str, Parameter(help="From when: `90m`, `2d`, or a time (ISO 8601).")] = "",
    until: Annotated[str, Parameter(help="Until when, in the same words.")] = "",
    query: Annotated[
        str, Parameter(help="Only what this finds: a word, or LogsQL (of Loki: LogQL).")
    ] = "",
    limit: Annotated[int, Parameter(help="Lines at most, the newest, with one of these.")] = 1000,
    json: Annotated[bool, flag("--json", help="One JSON object a line.")] = (False),
) -> int:
    """Show the logs of a component, a host or a pod.

    With `--since`, `--until` or `--query` the store of logs answers (`logs: {}` in the stack file),
    also for pods that are gone; without a store, `--since` is answered by the nodes.

    Parameters
    ----------
    name
        A component (`akash`), a host (`h1`), a unit of it (`h1:kubelet`), or a pod
        (`monitoring/prometheus-0`, with `:CONTAINER` if it is not the first).
    """
    from disco.cli import logs as module

    past = module.Past(since, until, query, limit)
    going = module.logs(file, name, follow=follow, tail=tail, past=past, as_json=json)
    return run(going, when_cut_off="")


@app.command(group=INSIDE, sort_key=16)
def shell(name: str, /, *, file: File = STACK) -> int:
    """Open a shell on a host or in a pod.

    Parameters
    ----------
    name
        A host (`h1`), a component (`akash`: its first ready pod), or a pod (`akash/validator-0`).
    """
    from disco.cli import shell as module

    return run(module.shell(file, name), when_cut_off="")


@app.command(group=INSIDE, sort_key=17)
def exec(name: str, /, *command: str, file: File = STACK) -> int:
    """Run one command on a host or in a pod.

    For example `disco exec akash -- akash status`. The exit code is the command's. In a chain's
    pod its program finds home, node and chain id.

    Parameters
    ----------
    name
        A host, a component or a pod, as for `disco shell`.
    command
        The command and its arguments, after `--`.
    """
    from disco.cli import shell as module

    return run(module.execute(file, name, command), when_cut_off="")


@app.command(group=INSIDE, sort_key=18)
def kubectl(*arguments: str, file: File = STACK) -> int:
    """Run kubectl as the cluster's administrator.

    For example `disco kubectl -- get pods -A`.

    Parameters
    ----------
    arguments
        What kubectl is to do, after `--`.
    """
    from disco.cli import kubeconfig as module

    return run(module.kubectl(file, arguments), when_cut_off="")


@app.command(group=CHANGE, sort_key=9)
def tofu(folder: Path, /, *command: str, file: File = STACK, workspace: str = "") -> int:
    """Run OpenTofu in a folder, with its state sealed in the team's store.

    For example `disco tofu network -- apply`. The exit code is OpenTofu's. Its files have to say
    `terraform { backend "http" {} }`; everything else about it is found by itself.

    Parameters
    ----------
    folder
        Where its files are.
    command
        What OpenTofu is to do, after `--`.
    workspace
        The state's name in the store, `tofu/NAME`; that of the folder if it is not said.
    """
    from disco.cli import tofu as module

    return run(module.tofu(file, folder, workspace, command), when_cut_off="")


@app.command(group=INSIDE, sort_key=19)
def kubeconfig(
    *,
    file: File = STACK,
    write: Annotated[
        Path | None, Parameter(help="Write it there, for its owner alone, not to stdout.")
    ] = None,
) -> int:
    """Print a kubeconfig that is valid for a week."""
    from disco.cli import kubeconfig as module

    return run(module.kubeconfig(file, write))
