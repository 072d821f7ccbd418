"""Zone and LiveSet to Table; only what a change touches is compiled again."""
