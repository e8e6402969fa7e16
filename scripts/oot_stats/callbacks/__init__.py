"""Deferred results: read from artifacts, matched with the jobs that GitHub knows."""
