"""The read side: pages for people, and the same data as JSON for programs."""
