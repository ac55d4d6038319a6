"""The bytes of a stack file as text, or the reason why not."""

from __future__ import annotations

from pathlib import Path

from disco.stack.problem import Problem, StackProblems

MAX_BYTES = 1 << 20


def read(path: Path) -> str:
    """The file's text. Raises StackProblems."""
    return text_of(_content(path), path)


def text_of(content: bytes, path: Path) -> str:
    """Bytes as text. path: what they are called. Raises StackProblems."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(content[: error.start])
        raise StackProblems([_not_text(path, line, column)]) from None
    if "\0" in text:
        line, column = _position(text[: text.index("\0")].encode())
        raise StackProblems([_not_text(path, line, column)])
    return text


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise _whole(path, "is a folder, not a file", "name the stack file in it")
        if not path.exists():
            raise _whole(path, "does not exist", "`disco init` writes a new one")
        if not path.is_file():
            raise _whole(path, "is not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise _whole(path, f"is larger than {MAX_BYTES // 1024} KiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _whole(path, f"can't be read: {reason.lower()}") from None


def _whole(path: Path, message: str, hint: str = "") -> StackProblems:
    return StackProblems([Problem(str(path), 0, 0, "", message, hint)])


def _not_text(path: Path, line: int, column: int) -> Problem:
    return Problem(
        str(path), line, column, "", "is not UTF-8 text", "save the file with UTF-8 encoding"
    )


def _position(before: bytes) -> tuple[int, int]:
    """Line and column, from 1, of what follows these bytes."""
    text = before.decode("utf-8-sig", errors="replace")
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
