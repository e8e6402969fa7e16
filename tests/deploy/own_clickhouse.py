"""A ClickHouse with a configuration of a test's own: `python -m tests.deploy.own_clickhouse DIR [tcp]`.

Serves, as oot_local.clickhouse_server does, what the folder's config.xml says; `tcp` is for other servers.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.own_servers import python, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONFIG = """<clickhouse>
    <http_port>{port}</http_port>
    <listen_host>127.0.0.1</listen_host>
    <timezone>UTC</timezone>
    {more}
</clickhouse>
"""


@contextmanager
def configured_clickhouse(
    folder: Path, port: int, more: str, files: Mapping[str, str] | None = None, *, tcp: bool = False
) -> Iterator[str]:
    """Serve with `more` in config.xml and other files beside it; gives the URL."""
    place = folder / "clickhouse"
    place.mkdir(parents=True)
    for name, text in {"config.xml": _CONFIG.format(port=port, more=more), **(files or {})}.items():
        (place / name).write_text(text)
    argv = ["-m", "tests.deploy.own_clickhouse", str(place), *(["tcp"] if tcp else [])]
    process = python("clickhouse", argv, folder, {}, f"http://127.0.0.1:{port}/ping")
    try:
        start(process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


def main() -> int:
    """Serve until stdin closes; gives the exit code."""
    folder = Path(sys.argv[1]).resolve()
    os.chdir(folder)
    from chdb import _chdb

    listen = "SYSTEM START LISTEN HTTP; " + ("SYSTEM START LISTEN TCP; " if sys.argv[2:] == ["tcp"] else "")
    until_stdin_closes = "SELECT count() FROM file('/dev/stdin', 'LineAsString', 'line String') FORMAT Null"
    _chdb.query(  # type: ignore[attr-defined]  # as oot_local.clickhouse_server has it
        listen + until_stdin_closes, "TabSeparated", path=str(folder / "data")
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
