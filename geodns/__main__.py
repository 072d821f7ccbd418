"""``python -m geodns`` is the ``geodns`` command."""

from geodns.cli.main import main

main()
