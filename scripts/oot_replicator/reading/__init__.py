"""Read DynamoDB: its stream, and whole tables."""
