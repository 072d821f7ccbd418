"""All that outlives the process: state, events, history, secrets, the lock."""
