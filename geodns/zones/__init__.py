"""The sources of zones and hosts while the server runs: folder, host files, look-ups, differences."""
