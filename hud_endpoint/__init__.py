"""The server side of oot-hud: the relay's Result Handler, the results endpoint and the pages. Deployable on its own."""
