"""What is asked over and over whether it answers: addresses of people and of components."""

from __future__ import annotations

import pydantic

from disco.stack.model import Model, var

CLUSTER = "cluster"


class Probe(Model):
    """One address, asked from inside of the cluster."""

    http: str = var("", pattern=r"^(https?://[^@\s/?#]+([/?][^\s]*)?)?$", max_length=2000)
    """A web address; without `expect` each answer from 200 to 299 is a good one."""
    tcp: str = var("", pattern=r"^([A-Za-z0-9.-]+:[1-9]\d{0,4}|\[[0-9a-fA-F:.]+\]:[1-9]\d{0,4})?$")
    """Instead, an address and port that must take a connection."""
    expect: int | None = var(None, ge=100, le=599)
    """The one code of HTTP that is a good answer; what leads elsewhere (301) is not followed."""

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Probe:
        if bool(self.http) == bool(self.tcp):
            raise ValueError("a probe has either http or tcp")
        if self.expect is not None and self.tcp:
            raise ValueError("expect is a code of HTTP, and tcp has none")
        if self.tcp and int(self.tcp.rpartition(":")[2]) > 65535:
            raise ValueError("a port is at most 65535")
        return self

    @property
    def target(self) -> str:
        return self.http or self.tcp


class Probed(Probe):
    """What a component asks to be probed.

    authority: who signs its certificate: nothing for one that everybody knows, CLUSTER for the
    cluster's own, or the secret of the store whose field `crt` is the authority's certificate.
    """

    authority: str = ""
