"""Run an action's steps locally, as GitHub's runner would."""
