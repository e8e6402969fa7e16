"""What `make bench` runs: the design's budgets (section 8) measured on this machine, never asserted."""
