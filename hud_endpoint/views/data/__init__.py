"""What the pages show, read from ClickHouse and DynamoDB: one room a page, pure functions between rows and models."""
