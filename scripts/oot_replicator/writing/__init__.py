"""Write rows to ClickHouse; a row that it refuses becomes a dead letter."""
