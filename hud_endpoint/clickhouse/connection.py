"""The connection to ClickHouse over HTTP, from one URL."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# The driver logs, with a traceback, what it raises as well: whoever has set up no logging shall not see it twice.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


def connect(url: str, *, connect_timeout: float = 5, read_timeout: float = 60) -> Client:
    """Connect to `http(s)://[user[:password]@]host[:port]`; clients are not shared between threads.

    Raises clickhouse_connect's OperationalError when the server does not answer, or `url` is no such URL.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import OperationalError

    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole:  # "host:8123" would be read as no host at all, and localhost be asked
        raise OperationalError("ClickHouse's URL must be http(s)://[user[:password]@]host[:port]: set CLICKHOUSE_URL")
    secure = parts.scheme == "https"
    return clickhouse_connect.get_client(
        host=parts.hostname,
        port=parts.port or (8443 if secure else 8123),
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        secure=secure,
        connect_timeout=connect_timeout,
        send_receive_timeout=read_timeout,
        autogenerate_session_id=False,  # a session would serialise the queries of one client
    )
