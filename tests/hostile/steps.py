"""What happens in a hostile situation, as values: the words that the table, the model and the bench share."""

from __future__ import annotations

from typing import NamedTuple


class Listed(NamedTuple):
    """A repo's entry on the allowlist; `sources` are the events that its pipeline elsewhere must have, none: any."""

    level: str = "L2"
    nightly_on: tuple[str, ...] = ()
    repository_id: str = ""
    domains: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Token(NamedTuple):
    """What a token says; `name` tells one token from another, `job` is None where its issuer names no job."""

    event: str
    issuer: str
    repo: str
    run: str
    job: str | None
    attempt: int | None
    ids: tuple[str, str]
    name: str


class Post(NamedTuple):
    """One callback: what its body says, and the token beside it."""

    token: Token
    event: str
    delivery: str
    pr: int
    sha: str
    status: str
    conclusion: str
    passed: int
    workflow: str
    job_name: str
    run: str | None
    check_run: str | None
    attempt: int | None
    callback_token: str  # the delivery whose token it is, "forged", or "" for none


class Dispatch(NamedTuple):
    """What the upstream recorded before it asked."""

    repo: str
    delivery: str
    event: str
    pr: int
    sha: str


class Away(NamedTuple):
    """HUD can't be reached from here on."""


class Back(NamedTuple):
    """HUD is there again, and the outbox is emptied."""


class Release(NamedTuple):
    """An operator releases a repo's pin."""

    repo: str


class Direct(NamedTuple):
    """What reaches HUD from somebody who has the service token, whatever the relay thinks of it."""

    post: Post


class Note(NamedTuple):
    """A conflict note for a key, in a repo's name."""

    repo: str
    post: Post


Step = Dispatch | Post | Away | Back | Release | Direct | Note
