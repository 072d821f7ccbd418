"""``geodns follow``: what mail servers log of their deliveries, as signals to the name servers."""
