"""The relay's Result Handler: proves who calls, whether they may and were asked to, and passes their results to HUD."""
