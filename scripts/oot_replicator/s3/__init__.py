"""Load S3 objects into ClickHouse."""
