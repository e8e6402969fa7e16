"""Which backend a repo's name means: a backend goes by its repo's immutable id, through every name it reports under.

The rollup decides what each name and id is called (schema, 012): the backend's newest name, or `org/name@id` where
another repo has that name by now; no repo's name holds an `@`. A result without an id counts for the repo that had
taken the name last before it, else for the first one that took it later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from hud_endpoint.views.data.rows import utc
from hud_endpoint.views.models.backend import EarlierRepository, KnownName

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from hud_endpoint.views.data.rows import Ask, Row


class Holder(NamedTuple):
    """A repo that has had a name: since its first result under it, with the last one, and the backend that it is."""

    since: datetime
    last_seen: datetime
    repository_id: str
    backend: str


def read_names(ask: Ask) -> Names:
    """Return what every name means. Raises what `ask` raises."""
    return Names(ask("oot_backend_names"))


class Names:
    """Names and ids of repos, from rows of oot_backend_names."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._holders: dict[str, list[Holder]] = defaultdict(list)  # by name, without what has no id
        self._by_id: dict[str, str] = {}
        self._names: dict[str, set[str]] = defaultdict(set)  # by backend
        for row in rows:
            name, repository_id, backend = row["repo"], row["repository_id"], row["backend"]
            self._names[backend].add(name)
            if repository_id:
                seen = utc(row["first_seen"]), utc(row["last_seen"])
                self._holders[name].append(Holder(*seen, repository_id, backend))
                self._by_id[repository_id] = backend
        for holders in self._holders.values():
            holders.sort()

    def backend_of(self, repo: str, repository_id: str, seen: datetime) -> str:
        """Return the backend that a result counts for; `seen` is when it was first heard of.

        An id that has not reported yet has its name alone, unless another repo has had that name.
        """
        holders = self._holders.get(repo, [])
        if repository_id:
            new = f"{repo}@{repository_id}" if holders else repo
            return self._by_id.get(repository_id, new)
        before = bisect_right(holders, seen, key=lambda holder: holder.since)
        return holders[max(before - 1, 0)].backend if holders else repo

    def find(self, name: str) -> str:
        """Return the backend that a name leads to, which is the repo that reported under it last; a backend is itself.

        A name that nobody has reported under is returned as it is.
        """
        repo, _, repository_id = name.partition("@")
        if repository_id:
            return self._by_id.get(repository_id, name)
        holders = self._holders.get(repo, ())
        newest = max(holders, key=lambda holder: (holder.last_seen, holder.repository_id), default=None)
        return newest.backend if newest else name

    def is_known(self, name: str) -> bool:
        """Return whether results have come in under a name, or of a backend that is called so."""
        return name in self._names or name in self._holders

    def is_new(self, backend: str) -> bool:
        """Return whether a backend has a name that another repo had before, and no result of it has come in yet."""
        return "@" in backend and backend not in self._names

    def names_of(self, backend: str) -> set[str]:
        """Return every name that the backend has reported under; its own where nothing has come in yet."""
        return self._names.get(backend) or {backend}

    def is_shared(self, name: str) -> bool:
        """Return whether several repos have had a name."""
        return len(self._holders.get(name, ())) > 1

    def history(self, backend: str) -> tuple[KnownName, ...]:
        """Return the names that the backend had with its id, the newest first; () for one that has had one only."""
        names = [
            KnownName(name=name, first_seen=holder.since, last_seen=holder.last_seen)
            for name in self._names.get(backend, ())
            for holder in self._holders.get(name, ())
            if holder.backend == backend
        ]
        return tuple(sorted(names, key=lambda name: (name.last_seen, name.name), reverse=True)) if names[1:] else ()

    def earlier(self, backend: str) -> tuple[EarlierRepository, ...]:
        """Return the other repos that had the backend's name before it, the newest first."""
        holders = [holder for holder in self._holders.get(backend, ()) if holder.backend != backend]
        return tuple(
            EarlierRepository(backend=holder.backend, repository_id=holder.repository_id, last_seen=holder.last_seen)
            for holder in sorted(holders, key=lambda holder: holder.last_seen, reverse=True)
        )
