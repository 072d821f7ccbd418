"""Changes of a host's weight beside its verdict: slow start, load, the limit of quarantines."""
