"""The server side of oot-hud: the relay's Result Handler, the results endpoint and the pages. Deployable on its own."""

__version__ = "0.1.0"  # the whole distribution's: pyproject.toml takes it from here
