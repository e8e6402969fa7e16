"""The local stack, the local GitHub and the demo."""
