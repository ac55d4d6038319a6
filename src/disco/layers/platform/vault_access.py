"""What DISCO may do in the vault: by a role of its own, once the vault is set up.

A vault tells a root token at its init, which may do everything and never ends. It is used to make
the role, and revoked when the vault is set up. The role's two halves are made before, in the
secret with the vault's keys; with them each process logs in, for minutes.

With the role one may use and set up the key-value store, Kubernetes logins, their roles, and the
policies of components and of the role itself; make keys to sign with and an authority for pods'
certificates, and sign nothing by them; take and put back snapshots, seal, rotate, make new shares
of the key, ask for a root token with shares, look up and revoke tokens. One may not make tokens,
write policies of others, mount other engines, or touch an audit device.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from disco.engine.errors import DiscoError
from disco.layers.platform.vault_roles import PREFIX

if TYPE_CHECKING:
    from disco.layers.platform.openbao import OpenBao

ROLE, PROBE = "disco", "vault-probe"
ROOT, ROLE_ID, SECRET_ID = "root_token", "role_id", "secret_id"
ALL = '"create", "read", "update", "delete", "list"'
MAY = {
    "kv/*": ALL,
    "auth/kubernetes/*": ALL,
    "sys/policies/acl": '"list"',
    f"sys/policies/acl/{PREFIX}*": ALL,
    f"sys/policies/acl/{PROBE}": ALL,
    f"sys/policies/acl/{ROLE}": '"create", "read", "update"',
    "sys/mounts": '"read"',
    "sys/mounts/kv": '"create", "read", "update"',
    "sys/mounts/transit": '"create", "read", "update"',
    "transit/keys/+": '"create", "read", "update"',
    "sys/mounts/pki": '"create", "read", "update"',
    "pki/intermediate/generate/internal": '"create", "update"',
    "pki/intermediate/set-signed": '"create", "update"',
    "pki/config/issuers": '"create", "update"',
    "pki/issuer/default": '"read"',
    "pki/roles/+": '"create", "read", "update"',
    "sys/auth": '"read"',
    "sys/auth/kubernetes": '"create", "read", "update", "sudo"',
    "sys/audit": '"read", "sudo"',
    "sys/seal": '"update", "sudo"',
    "sys/rotate/recovery/*": '"create", "read", "update", "delete", "sudo"',
    "sys/rotate/root/*": '"create", "read", "update", "delete", "sudo"',
    "sys/rotate/keyring": '"update", "sudo"',
    "sys/key-status": '"read"',
    "sys/generate-root-token/*": '"create", "read", "update", "delete", "sudo"',
    "auth/token/accessors": '"list", "sudo"',
    "auth/token/lookup-accessor": '"create", "update"',
    "auth/token/revoke-accessor": '"create", "update"',
    "sys/storage/raft/configuration": '"read", "sudo"',
    "sys/storage/raft/snapshot": '"read", "sudo"',
    "sys/storage/raft/snapshot-force": '"create", "update", "sudo"',
}
POLICY = "\n".join(f'path "{path}" {{ capabilities = [{may}] }}' for path, may in MAY.items())
REFUSED = ("(400)", "(403)", "(404)")  # other halves, a revoked token, no such login yet


def fresh() -> dict[str, str]:
    """The two halves of a role that nobody has yet."""
    return {ROLE_ID: str(uuid.uuid4()), SECRET_ID: secrets.token_urlsafe(32)}


async def token(bao: OpenBao, keys: Mapping[str, str]) -> str:
    """For ten minutes; the root token itself where the vault is not set up yet.

    keys: fields of the secret with the vault's keys. Raises DiscoError.
    """
    if ROOT not in keys:
        return await login(bao, keys)
    return await _own(bao, keys) or keys[ROOT]


async def login(bao: OpenBao, keys: Mapping[str, str]) -> str:
    """With the role alone. Raises DiscoError."""
    halves = {name: keys.get(name, "") for name in (ROLE_ID, SECRET_ID)}
    found = await bao.call("", "POST", "auth/approle/login", halves)
    return str(found["auth"]["client_token"])


async def grant(bao: OpenBao, keys: Mapping[str, str]) -> str:
    """See that the role is there and may what it has to; a token by it. Raises DiscoError."""
    own = await _own(bao, keys)
    if own:
        await bao.call(own, "POST", f"sys/policies/acl/{ROLE}", {"policy": POLICY})
        return own
    if ROOT not in keys:
        return await login(bao, keys)  # which says why not
    root, role = keys[ROOT], f"auth/approle/role/{ROLE}"
    if "approle/" not in (await bao.call(root, "GET", "sys/auth"))["data"]:
        await bao.call(root, "POST", "sys/auth/approle", {"type": "approle"})
    await bao.call(root, "POST", f"sys/policies/acl/{ROLE}", {"policy": POLICY})
    limits = {"token_policies": [ROLE], "token_type": "batch", "token_ttl": "10m"}
    await bao.call(root, "POST", role, limits)
    await bao.call(root, "POST", f"{role}/role-id", {ROLE_ID: keys[ROLE_ID]})
    await bao.call(root, "POST", f"{role}/custom-secret-id", {SECRET_ID: keys[SECRET_ID]})
    return await login(bao, keys)


async def revoke_root(bao: OpenBao, keys: Mapping[str, str]) -> None:
    """It is of no use from then on. One that is revoked already is as well. Raises DiscoError."""
    try:
        await bao.call(keys[ROOT], "POST", "auth/token/revoke-self")
    except DiscoError as error:
        if "(403)" not in error.why:
            raise


async def _own(bao: OpenBao, keys: Mapping[str, str]) -> str:
    """A token by the role, or nothing where the vault does not know it."""
    try:
        return await login(bao, keys)
    except DiscoError as error:
        if any(code in error.why for code in REFUSED):
            return ""
        raise
