"""A plan as text, as Markdown for a pull request, and as a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from disco.cli import human, render
from disco.cli.opened import veiled
from disco.engine.action import secrets_in
from disco.engine.component import Layer, Step
from disco.engine.plan import Part, Plan

FORMS = ("text", "markdown", "html")
STYLE = """:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow-x:auto;padding:.6rem;margin:.3rem 0;
border:1px solid #8886;border-radius:4px}.lost{border-left:4px solid #c33;padding:.1rem 1rem}
summary{cursor:pointer}details{margin:.15rem 0 .15rem 1rem}
h2{margin:1.4rem 0 .3rem;font-size:1.1rem}
.note{color:#a60}"""


def drawn(plan: Plan, form: str, commands: bool, digest: str = "") -> str:
    """form: one of FORMS. digest: that of the plan which this one was kept from."""
    match form:
        case "markdown":
            return veiled(markdown(plan, digest or plan.digest))
        case "html":
            return veiled(page(plan, digest or plan.digest))
    return render.plan_text(plan, commands)


def summary(plan: Plan) -> str:
    actions = sum(len(s.actions) for _, s in plan.steps)
    return f"{human.count(len(plan.steps), 'step')}, {human.count(actions, 'action')}"


def lost(plan: Plan) -> tuple[str, ...]:
    """What is destroyed: said on top."""
    found = [*plan.loses, *(d for _, s in plan.steps for a in s.actions for d in a.destroys)]
    return tuple(dict.fromkeys(found))


def _parts(plan: Plan) -> Iterator[tuple[str, Part]]:
    for part in plan.parts:
        if part.steps:
            known = f" (known after {', '.join(part.assumed_after)})" if part.assumed_after else ""
            yield f"{Layer(part.layer).title}: {part.name}{known}", part


def markdown(plan: Plan, digest: str) -> str:
    """A summary, what is destroyed on top, each step folded."""
    lines = [f"### Plan of the stack `{plan.stack}`: {summary(plan)}", ""]
    if plan.empty:
        return f"### Plan of the stack `{plan.stack}`\n\n{render.plan_text(plan)}"
    if gone := lost(plan):
        lines += ["> [!CAUTION]", "> This destroys, for good:"]
        lines += [*(f"> - {x}" for x in gone), ""]
    for title, part in _parts(plan):
        lines += [f"**{title}**", "", *(f"- ⚠ {note}" for note in part.notes)]
        for step in part.steps:
            lines += [
                "<details>",
                f"<summary>{render.mark(part, step)} {escape(step.title)}</summary>",
            ]
            lines += ["", *_fenced(command_lines(step)), "", "</details>"]
        lines.append("")
    lines.append(f"Digest `{digest}`")
    return "\n".join(lines)


def command_lines(step: Step) -> list[str]:
    """The plain commands of a step, each below its meaning."""
    used = ", ".join(sorted(secrets_in(step.actions)))
    told = [f"# uses the secrets {used}"] if used else []
    for action in step.actions:
        told += [f"# {action.describe()}", *action.command().splitlines()]
    return told


def _fenced(lines: list[str]) -> list[str]:
    """A code block that no line of it can end."""
    fence = "```"
    while any(line.startswith(fence) for line in lines):
        fence += "`"
    return [f"{fence}sh", *lines, fence]


def page(plan: Plan, digest: str) -> str:
    """One file of HTML that needs nothing else, in light and in dark."""
    title = escape(f"Plan of {plan.stack}: {summary(plan)}")
    body = [f"<h1>{title}</h1>"]
    if plan.empty:
        body.append(f"<p>{escape(render.plan_text(plan))}</p>")
    if gone := lost(plan):
        items = "".join(f"<li>{escape(x)}</li>" for x in gone)
        body.append(f'<div class="lost"><p>This destroys, for good:</p><ul>{items}</ul></div>')
    for name, part in _parts(plan):
        body.append(f"<h2>{escape(name)}</h2>")
        body += [f'<p class="note">{escape(note)}</p>' for note in part.notes]
        for step in part.steps:
            told = escape("\n".join(command_lines(step)))
            head = f"{render.mark(part, step)} {escape(step.title)}"
            body.append(f"<details><summary>{head}</summary><pre>{told}</pre></details>")
    body.append(f"<p>Digest <code>{escape(digest)}</code></p>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style>" + "\n".join(body) + "</html>"
    )
