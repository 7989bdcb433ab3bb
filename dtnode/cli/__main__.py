"""`python -m dtnode.cli`: the command line without its console script."""

from dtnode.cli import main

main()
