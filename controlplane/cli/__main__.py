"""`python -m controlplane.cli`, the same as the `laneway` command."""

from controlplane.cli import main

main()
