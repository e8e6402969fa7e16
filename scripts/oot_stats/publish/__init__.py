"""Check what collect wrote and store it: the side that has credentials."""
