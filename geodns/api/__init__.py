"""HTTP: requests to control, control to JSON."""
