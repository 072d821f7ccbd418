"""``python -m geodns`` is the ``geodns`` command."""

from geodns.cli import main

main()
