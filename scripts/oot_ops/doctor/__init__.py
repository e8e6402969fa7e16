"""Check a backend's workflow or an operator's deployment, and say what to do."""
