"""The unit by which systemd runs a mesh: settings in, text out (pure)."""

from __future__ import annotations

import msgspec

NAME = "hcs-mesh.service"
MARK = "# Written by 'hcs-mesh service install'."
SYSTEM_DATA = "/var/lib/hcs-mesh"
"""What StateDirectory= makes for a system unit."""

HARDENED = """
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""

# Left out on purpose: PrivateTmp, ProtectHome and ProtectSystem=strict (plates lie anywhere, and a source is held by
# links beside it), PrivateDevices, DevicePolicy and ProtectClock (they hide the GPUs), MemoryDenyWriteExecute (CUDA and
# Java compile as they run).
HARDENED_SYSTEM = """
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
KeyringMode=private
"""


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What the unit depends on."""

    python: str
    data: str
    config: str = ""
    run_as: str = ""
    """The account of a system unit; empty means a unit of the user's own."""
    shutdown_s: float = 20.0

    @property
    def command(self) -> tuple[str, ...]:
        """The words that start the mesh."""
        config = ("--config", self.config) if self.config else ()
        return (self.python, "-P", "-m", "hcs_mesh", "up", "--data", self.data, *config)


def unit_text(unit: Unit) -> str:
    """The whole unit file."""
    system = bool(unit.run_as)
    lines = [
        f"{MARK} Put changes of your own into a drop-in: systemctl {'' if system else '--user '}edit hcs-mesh",
        "[Unit]",
        "Description=hcs-mesh: imports, analyses and shows plates",
        "Documentation=man:systemd.service(5)",
        *(["Wants=network-online.target", "After=network-online.target"] if system else []),
        f"RequiresMountsFor={_path(unit.data)}",
        # A facility's only copy waits to be brought home: there is no number of failures after which that is given up.
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(map(_word, unit.command))}",
        *([f"User={unit.run_as}", "UMask=0027"] if system else []),
        *(["StateDirectory=hcs-mesh", "StateDirectoryMode=0750"] if system and unit.data == SYSTEM_DATA else []),
        "Restart=always",
        "RestartSec=5",
        "WatchdogSec=60",
        # A long journal is replayed before the mesh is ready.
        "TimeoutStartSec=300",
        f"TimeoutStopSec={round(unit.shutdown_s) + 40}",
        # The hub stops its processes in order; what is left then is killed.
        "KillMode=mixed",
        # An executor that takes too much memory is restarted by its supervisor: the rest must not go with it.
        "OOMPolicy=continue",
        "LimitNOFILE=65536",
        "Nice=5",
        "IOSchedulingClass=best-effort",
        "IOSchedulingPriority=6",
        "SyslogIdentifier=hcs-mesh",
        "Environment=PYTHONUNBUFFERED=1",
        *HARDENED.split("\n")[1:-1],
        *(HARDENED_SYSTEM.split("\n")[1:-1] if system else []),
        # An account that is not root has no use for them; root without them could read less than its files' owners.
        *(["CapabilityBoundingSet="] if unit.run_as not in ("", "root") else []),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if system else 'default.target'}",
    ]
    return "\n".join(lines) + "\n"


def _word(text: str) -> str:
    """One word of a command line, whatever it holds: quoted, and without specifiers and variables."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != text or any(one.isspace() or one in "';" for one in text) else text


def _path(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != text or any(one.isspace() for one in text) else text
