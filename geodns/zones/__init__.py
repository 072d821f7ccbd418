"""Where zones and hosts come from while the server runs: folder, sources, differences."""
