"""Compare DynamoDB with ClickHouse."""
