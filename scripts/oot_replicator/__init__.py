"""DynamoDB's stream and S3's objects into ClickHouse, and the comparison of both sides."""
