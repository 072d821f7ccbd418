"""The running state, and the services that change it."""
