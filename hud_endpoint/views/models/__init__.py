"""What each page shows, as frozen values.

Times are aware and UTC, durations and queue times seconds, shares between 0 and 1. None means unknown, never zero.
Everything in them that a job reported is hostile text; URLs are http(s), "" where there is none.
"""
