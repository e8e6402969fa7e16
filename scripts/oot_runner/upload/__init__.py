"""The steps of actions/upload-artifacts: `begin` finds and checks the files, `end` tells what was stored."""
