"""ClickHouse: the schema as numbered SQL files, HUD's saved queries, and the connection to the server."""
