"""What outlives the process: state, events, history, secrets, the lock."""
