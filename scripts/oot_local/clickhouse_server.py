"""A real ClickHouse server over HTTP from the chdb-core wheel: `python -m oot_local.clickhouse_server DIR PORT`.

The wheel's own entry point to ClickHouse's listeners is private, so its version is pinned and callers probe `/ping`:
it exits 0 even when it could not open its folder. It serves until its standard input closes or SIGTERM comes, so it
never outlives who started it. One process a folder, one call a process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Enough for a laptop and a test run; the server itself takes about 300 MB.
_CONFIG = """<clickhouse>
    <http_port>{port}</http_port>
    <listen_host>127.0.0.1</listen_host>
    <timezone>UTC</timezone>
</clickhouse>
"""
_SERVE = (
    "SYSTEM START LISTEN HTTP; "
    "SELECT count() FROM file('/dev/stdin', 'LineAsString', 'line String') FORMAT Null"  # ends when stdin closes
)


def main() -> int:
    """Serve; gives the exit code."""
    if len(sys.argv) != 3 or not sys.argv[2].isdecimal():
        print("usage: python -m oot_local.clickhouse_server DIR PORT", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.xml").write_text(_CONFIG.format(port=sys.argv[2]))
    os.chdir(folder)
    from chdb import _chdb

    _chdb.query(  # type: ignore[attr-defined]  # a private entry point, pinned
        _SERVE, "TabSeparated", path=str(folder / "data")
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
