"""Whom alerts are told to, and how: what a stack file says, as Alertmanager's configuration.

Field names of the configuration: Alertmanager 0.34, docs/configuration.md. Secrets are files there,
whose names are keys of one Secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pydantic

from disco.stack.model import Model, var
from disco.stack.secret import SecretName

SECRETS = "/etc/alertmanager-secrets"
URL = r"^https?://[^@\s/][^@\s]*$"
TITLE, TEXT = '{{ template "disco.title" . }}', '{{ template "disco.text" . }}'
# Alertmanager reads each text of a payload as YAML first: a title in brackets would be a list.
PLAIN = f"DISCO {TITLE}\n{TEXT}"
Json = dict[str, Any]


class Webhook(Model):
    """A program that takes Alertmanager's JSON by POST."""

    url: str = var("", pattern=rf"{URL}|^$")
    """Where it is sent, when the address is no secret."""
    secret_url: SecretName | None = None
    """Where it is sent, when the address is a secret."""
    token: SecretName | None = None
    """What is sent as `Authorization: Bearer …`."""

    @pydantic.model_validator(mode="after")
    def _one_address(self) -> Webhook:
        if bool(self.url) == bool(self.secret_url):
            raise ValueError("takes either url or secret_url")
        return self

    def config(self, files: Mapping[str, str]) -> Json:
        address = {"url_file": files["secret_url"]} if self.secret_url else {"url": self.url}
        return address | _bearer(files)


class Email(Model):
    """Mail by a server that takes it for others."""

    to: tuple[str, ...] = var(min_length=1, max_length=32)
    """Who gets it."""
    sender: str = var(min_length=3, max_length=200)
    """Whom it comes from."""
    server: str = var(pattern=r"^[^\s:/]+:\d+$")
    """The mail server, `name:port`; port 465 speaks TLS from the start, others by STARTTLS."""
    username: str = var("", max_length=200)
    """The name for its login; none for a server that asks for none."""
    password: SecretName | None = None
    """The password for it."""
    require_tls: bool = True
    """Whether a server without TLS gets nothing."""

    @pydantic.model_validator(mode="after")
    def _whole_login(self) -> Email:
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password need each other")
        return self

    def config(self, files: Mapping[str, str]) -> Json:
        login = {"auth_username": self.username, "auth_password_file": files["password"]}
        return {
            "to": ", ".join(self.to),
            "from": self.sender,
            "smarthost": self.server,
            "require_tls": self.require_tls,
            "headers": {"Subject": TITLE},
            "html": "",
            "text": TEXT,
            **(login if self.password else {}),
        }


class Slack(Model):
    """A channel of Slack, or of what takes the same (Mattermost, Rocket.Chat)."""

    url: SecretName
    """The address of an incoming webhook."""
    channel: str = var("", max_length=80)
    """Another channel than the webhook's own."""

    def config(self, files: Mapping[str, str]) -> Json:
        channel = {"channel": self.channel} if self.channel else {}
        return {"api_url_file": files["url"], **channel, "title": TITLE, "text": TEXT}


class PagerDuty(Model):
    """A service of PagerDuty, by its Events API v2."""

    routing_key: SecretName
    """The integration key of the service."""
    url: str = var("", pattern=rf"{URL}|^$")
    """Another address than PagerDuty's own, for what takes the same."""

    def config(self, files: Mapping[str, str]) -> Json:
        told = {
            "routing_key_file": files["routing_key"],
            "description": TITLE,
            "severity": '{{ or .CommonLabels.severity "error" }}',
            "details": {"text": TEXT},
        }
        return told | ({"url": self.url} if self.url else {})


class Matrix(Model):
    """A room of Matrix. Its server must take a message by POST, as Synapse does."""

    server: str = var(pattern=URL)
    """The address of the homeserver."""
    room: str = var(pattern=r"^![^\s/]+$")
    """The room's id, `!…`."""
    token: SecretName
    """The access token of who writes there."""

    def config(self, files: Mapping[str, str]) -> Json:
        room = quote(self.room, safe="")
        url = f"{self.server.rstrip('/')}/_matrix/client/v3/rooms/{room}/send/m.room.message"
        payload = {"msgtype": "m.text", "body": PLAIN}
        return {"url": url, "payload": payload, **_bearer(files)}


class Receiver(Model):
    """Who is told of alerts, in one way."""

    webhook: Webhook | None = None
    """A program that takes Alertmanager's JSON."""
    email: Email | None = None
    """Mail."""
    slack: Slack | None = None
    """A channel of Slack."""
    pagerduty: PagerDuty | None = None
    """A service of PagerDuty."""
    matrix: Matrix | None = None
    """A room of Matrix."""
    resolved: bool = True
    """Whether the end of an alert is told, too."""

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Receiver:
        if len(list(self.ways())) != 1:
            raise ValueError(f"takes exactly one of {', '.join(KINDS)}")
        return self

    def ways(self) -> Iterator[tuple[str, Any]]:
        """The kind that is set, with what it needs."""
        for kind in KINDS:
            if (way := getattr(self, kind)) is not None:
                yield kind, way

    def secrets(self, name: str) -> dict[str, SecretName]:
        """Key in the Secret -> what the stack file names. name: of this receiver."""
        return {
            f"{name}.{field}": value
            for _, way in self.ways()
            for field, value in way
            if isinstance(value, SecretName)
        }

    def config(self, name: str) -> Json:
        """One of Alertmanager's receivers, by this name."""
        kind, way = next(self.ways())
        files = {key.partition(".")[2]: f"{SECRETS}/{key}" for key in self.secrets(name)}
        key = {"matrix": "webhook"}.get(kind, kind)
        told = {"send_resolved": self.resolved, **way.config(files)}
        return {"name": name, f"{key}_configs": [told]}


KINDS = ("webhook", "email", "slack", "pagerduty", "matrix")


def _bearer(files: Mapping[str, str]) -> Json:
    if "token" not in files:
        return {}
    return {"http_config": {"authorization": {"credentials_file": files["token"]}}}
