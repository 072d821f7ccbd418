"""What changes a host's weight beside its verdict: slow start, load, limits of quarantine."""
