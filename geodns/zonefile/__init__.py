"""Zone-file text to `model.zone.Zone`, with every problem and its place."""
