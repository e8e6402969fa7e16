"""`python -m oot_ops` is `oot-hud`, for a Python that has no such script."""

from __future__ import annotations

from oot_ops.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
