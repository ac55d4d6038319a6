"""SSH failures in a person's words: one place translates them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from disco.engine.errors import DiscoError, Retry
from disco.hosts.host import Host


@contextmanager
def translated(host: Host) -> Iterator[None]:
    """Turn what asyncssh and the network raise into DiscoErrors that name the host."""
    import asyncssh

    place = f"{host.name} ({host.user}@{host.address}:{host.port})"
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise DiscoError(
            "the server's host key is not the pinned one",
            where=place,
            why=error.reason,
            fix="if the machine was reinstalled on purpose, pin its new key; else somebody is in "
            "between: don't go on",
        ) from None
    except asyncssh.PermissionDenied as error:
        raise DiscoError(
            "the server does not accept the key",
            where=place,
            why=error.reason,
            fix=f"append the public key to ~{host.user}/.ssh/authorized_keys on {host.name}",
        ) from None
    except (asyncssh.ConnectionLost, ConnectionError, BrokenPipeError) as error:
        raise DiscoError(
            "the connection was lost or refused",
            where=place,
            why=str(error),
            fix="see that the machine is up and that sshd listens there",
            retry=Retry.LIKELY,
        ) from None
    except TimeoutError:
        raise DiscoError(
            "no answer in time",
            where=place,
            why="the machine is off, or a firewall drops packets",
            fix=f"try it by hand: {host.ssh()}",
            retry=Retry.LIKELY,
        ) from None
    except (asyncssh.Error, OSError) as error:
        raise DiscoError(
            "SSH failed",
            where=place,
            why=str(error),
            fix=f"try it by hand: {host.ssh()}",
            retry=Retry.MAYBE,
        ) from None
