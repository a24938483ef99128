"""`python -m ketjax` is the `ketjax` command."""

from ketjax.cli import main

main()
