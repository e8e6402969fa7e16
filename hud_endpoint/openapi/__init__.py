"""What the server half offers, described for programs (OpenAPI) and for people (a page)."""
