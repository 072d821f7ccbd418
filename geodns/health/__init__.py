"""Probes to verdicts."""
