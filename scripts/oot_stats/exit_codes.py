"""How a command of upload_test_stats ends."""

from __future__ import annotations

STORED = 0
FAILED = 1
USAGE = 2
PARTLY = 3  # something was rejected; all else is stored
NOTHING = 4

HELP = "exit codes: 0 all stored, 3 stored but for what was rejected, 4 nothing to store, 1 failed, 2 wrong arguments"
