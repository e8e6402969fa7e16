"""Where artifacts come from: GitHub's API and S3."""
