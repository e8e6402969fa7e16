"""Read the artifacts of a run and write bounded rows: the side that has no credentials."""
