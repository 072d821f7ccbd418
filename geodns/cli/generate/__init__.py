"""The lines that mail servers need to ask geodns which pool a message leaves by."""
