"""Prints the lines by which mail servers ask geodns which pool a message leaves by."""
