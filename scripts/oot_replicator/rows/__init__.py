"""Turn DynamoDB records into ClickHouse rows."""
