"""Which URLs are taken, and that a wrong one reaches no server by accident."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from hud_endpoint.clickhouse.connection import connect


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8123", "//localhost:8123", "clickhouse://localhost", "http://", "http://:8123", "http://h:99999"],
)
def test_what_is_no_url_is_told_and_nobody_is_asked(url: str) -> None:
    with pytest.raises(OperationalError, match="CLICKHOUSE_URL"):
        connect(url)


def test_its_password_is_not_told() -> None:
    with pytest.raises(OperationalError) as caught:
        connect("user:s3cret@host:8123")
    assert "s3cret" not in str(caught.value)
