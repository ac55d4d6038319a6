"""How a running server fares: what it says of itself in one round trip, and what is wrong there."""

from __future__ import annotations

import time
from dataclasses import dataclass

from disco.engine.errors import DiscoError
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.layers.servers.preflight import CLOCK_S

GIB, MIB = 1024**3, 1024**2
FOLDERS = "/ /var/lib/kubelet /var/lib/etcd /var/lib/disco /var/log"
# One `key value…` a line. A memory limit of the server's own (a container) counts like its RAM;
# what the kernel would give back at once counts as free.
SCRIPT = f"""
echo "clock $(date +%s.%N)"
echo "up_s $(cut -d. -f1 /proc/uptime)"
for f in {FOLDERS}; do
  [ -d $f ] && df -Pk $f | awk 'NR==2 {{print "disk", $6, $2, $4}}'
  [ -d $f ] && df -Pi $f | awk 'NR==2 && $2>0 {{print "inodes", $6, $2, $4}}'
done
awk '/^MemTotal:/ {{t=$2}} /^MemAvailable:/ {{a=$2}} END {{print "memory", t, a}}' /proc/meminfo
m=/sys/fs/cgroup/memory
[ -e $m/memory.limit_in_bytes ] && echo "limit $(cat $m/memory.limit_in_bytes \
$m/memory.usage_in_bytes | tr '\\n' ' ') \
$(awk '/^total_inactive_file/ {{print $2}}' $m/memory.stat)"
c=/sys/fs/cgroup
[ -e $c/memory.max ] && echo "limit $(cat $c/memory.max $c/memory.current | tr '\\n' ' ') \
$(awk '/^inactive_file/ {{print $2}}' $c/memory.stat)"
echo "units $(systemctl list-units --plain --no-legend | wc -l)"
systemctl list-units --failed --plain --no-legend | awk '{{print "failed", $1}}'
[ -e /run/reboot-required ] && echo "restart $(sort -u /run/reboot-required.pkgs 2>/dev/null | \
tr '\\n' ' ')"
true
"""


@dataclass(frozen=True)
class Room:
    """Of a file system, its inodes, or memory: size and what is free, in one unit."""

    size: int
    free: int


@dataclass(frozen=True)
class Health:
    """disks in bytes and inodes in pieces, by mount point; memory in bytes.

    clock_offset_s: theirs minus ours; zero when it was right within the time of the question.
    restart: the packages that want one; None when none is due.
    """

    clock_offset_s: float
    up_s: float
    disks: dict[str, Room]
    inodes: dict[str, Room]
    memory: Room
    units: int
    failed: tuple[str, ...]
    restart: tuple[str, ...] | None


async def look(hosts: Hosts, host: Host) -> Health:
    asked = time.time()
    done = await hosts.run(host, ["sh", "-c", SCRIPT], within_s=20)
    return parse(host.name, done.out, asked, time.time())


def parse(host: str, text: str, asked_at: float, answered_at: float) -> Health:
    """Read SCRIPT's output. Raises DiscoError when something is missing in it."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    values: dict[str, list[list[str]]] = {}
    for key, *rest in lines:
        values.setdefault(key, []).append(rest)
    try:
        total, available = (int(kb) * 1024 for kb in values["memory"][0])
        clock = float(values["clock"][0][0])
        return Health(
            clock_offset_s=min(0.0, clock - asked_at) or max(0.0, clock - answered_at),
            up_s=float(values["up_s"][0][0]),
            disks=_rooms(values["disk"], 1024),
            inodes=_rooms(values.get("inodes", []), 1),
            memory=_limited(Room(total, available), values.get("limit", [])),
            units=int(values["units"][0][0]),
            failed=tuple(name for (name,) in values.get("failed", [])),
            restart=tuple(values["restart"][0]) if "restart" in values else None,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise DiscoError(
            "the server's answer about its health can't be read",
            where=host,
            why=f"{error!r} in: {text.strip()[:200]}",
        ) from None


def _rooms(lines: list[list[str]], unit: int) -> dict[str, Room]:
    return {mount: Room(int(size) * unit, int(free) * unit) for mount, size, free in lines}


def _limited(memory: Room, limits: list[list[str]]) -> Room:
    """The server's memory, or its limit's where that leaves less."""
    own = [
        Room(int(limit), max(0, int(limit) - int(used) + int(reclaimable)))
        for limit, used, reclaimable in limits
        if limit != "max" and int(limit) < memory.size
    ]
    return min([memory, *own], key=lambda room: room.free)


def clock(health: Health) -> str:
    offset = health.clock_offset_s
    return f"{offset:+.0f} s off" if abs(offset) > CLOCK_S else ""


def disk(health: Health) -> str:
    """Less than 2 GiB free, or less than a tenth of a small file system; or few inodes left."""
    wrong = [
        f"{left(room)} on {mount}"
        for mount, room in health.disks.items()
        if room.free < min(2 * GIB, room.size / 10)
    ]
    wrong += [
        f"{room.free} of {room.size} inodes free on {mount}"
        for mount, room in health.inodes.items()
        if room.free < room.size / 20
    ]
    return ", ".join(wrong)


def fullest(health: Health) -> str:
    """The fullest file system."""
    mount, room = min(health.disks.items(), key=lambda disk: disk[1].free / disk[1].size)
    return f"{left(room)} on {mount}"


def memory(health: Health) -> str:
    """Pods are thrown out at 100 MiB: warn before that."""
    few = max(200 * MIB, min(GIB, health.memory.size / 20))
    return left(health.memory) if health.memory.free < few else ""


def units(health: Health) -> str:
    if not health.units:
        return "systemd lists no unit"
    return f"failed: {', '.join(health.failed)}" if health.failed else ""


def restart(health: Health) -> str:
    if health.restart is None:
        return ""
    return f"due for {', '.join(health.restart)}" if health.restart else "due"


def left(room: Room) -> str:
    return f"{_size(room.free)} of {_size(room.size)} free"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
