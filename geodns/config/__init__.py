"""Text that operators write, read into values with every problem and its place; the server's settings."""
