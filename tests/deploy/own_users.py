"""The users of deploy/clickhouse/users.sql as a server's configuration.

The wheel's server has no place to store users in, so CREATE USER and GRANT can't be run; its users.xml takes the same
profiles, constraints and GRANT statements.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

SQL = Path(__file__).resolve().parents[2] / "deploy/clickhouse/users.sql"
PASSWORDS = {"oot_hud_reader": "reads", "oot_hud_writer": "writes"}
# As strict as a server can be: nothing of `system` but what each client needs, and every engine asks for its grant.
ACCESS_CONTROL = """
    <users_config>users.xml</users_config>
    <access_control_improvements>
        <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
        <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
        <table_engines_require_grant>true</table_engines_require_grant>
    </access_control_improvements>
"""


class Limit(NamedTuple):
    """A setting of a profile, and the bounds within which a query may change it."""

    name: str
    value: str
    low: str | None
    high: str | None


def statements() -> list[str]:
    """Give the statements of users.sql, without comments, each on one line."""
    bare = re.sub(r"--.*", "", SQL.read_text())
    return [" ".join(part.split()) for part in bare.split(";") if part.strip()]


def limits() -> list[Limit]:
    """Give the settings of the reader's profile."""
    (profile,) = [one for one in statements() if one.startswith("CREATE SETTINGS PROFILE")]
    form = re.compile(r"(\w+) = (\d+)(?: MIN (\d+))?(?: MAX (\d+))?")
    told = profile.partition(" SETTINGS ")[2].partition(" SETTINGS ")[2].split(", ")
    return [Limit(*match.groups()) for one in told if (match := form.fullmatch(one))]


def users_xml() -> str:
    """Write the users, profiles and grants of users.sql in the server's own form."""
    settings = "".join(f"<{one.name}>{one.value}</{one.name}>" for one in limits())
    bounds = "".join(
        f"<{one.name}><min>{one.low}</min><max>{one.high}</max></{one.name}>" for one in limits() if one.low
    )
    users = "".join(
        _user(name, password, "oot_hud_reader" if "reader" in name else "default", _grants(name))
        for name, password in PASSWORDS.items()
    )
    return (
        "<clickhouse><profiles><default/>"
        f"<oot_hud_reader>{settings}<constraints>{bounds}</constraints></oot_hud_reader></profiles>"
        f"<quotas><default/></quotas><users>{_user('default', '', 'default', [])}{users}</users></clickhouse>"
    )


def _grants(user: str) -> list[str]:
    suffix = f" TO {user}"
    granted = [one.removesuffix(suffix) for one in statements() if one.startswith("GRANT ") and one.endswith(suffix)]
    # The wheel's `default` database is one over local files, to which each new table belongs; a server's is not.
    return [*granted, "GRANT READ ON FILE"] if user == "oot_hud_writer" else granted


def _user(name: str, password: str, profile: str, grants: list[str]) -> str:
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    rights = f"<grants>{queries}</grants>" if grants else "<access_management>1</access_management>"
    return (
        f"<{name}><password>{password}</password><profile>{profile}</profile><quota>default</quota>"
        f"<networks><ip>127.0.0.1</ip></networks>{rights}</{name}>"
    )
