"""Failures of the Kubernetes API in a person's words: one place translates them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from disco.engine.errors import DiscoError, Retry
from disco.kube.access import Cluster


@contextmanager
def translated(cluster: Cluster, doing: str) -> Iterator[None]:
    from lightkube.core.exceptions import ApiError

    try:
        yield
    except ApiError as error:
        code = error.status.code or 0
        # A server that has just started answers 403 until its caches are filled.
        again = code in (403, 409, 429) or code >= 500
        raise DiscoError(
            f"the Kubernetes API refused: {doing}",
            where=cluster.server,
            why=f"{error.status.message} ({code})",
            retry=Retry.LIKELY if again else Retry.NEVER,
        ) from None
    except httpx2.HTTPStatusError as error:
        code = error.response.status_code
        raise DiscoError(
            f"the Kubernetes API refused: {doing}",
            where=cluster.server,
            why=f"{error.response.text[:300]} ({code})",
            retry=Retry.LIKELY if code in (403, 409, 429) or code >= 500 else Retry.NEVER,
        ) from None
    except (httpx2.TransportError, OSError) as error:
        raise DiscoError(
            f"the Kubernetes API can't be reached: {doing}",
            where=cluster.server,
            why=str(error) or type(error).__name__,
            fix="see that the control plane runs: disco check --only cluster",
            retry=Retry.LIKELY,
        ) from None
