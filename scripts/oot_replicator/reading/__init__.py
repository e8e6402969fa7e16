"""Read DynamoDB: shards of its stream under leases, and whole tables."""
