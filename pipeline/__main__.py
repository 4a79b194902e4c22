"""`python -m pipeline`, where the command is not on the path."""

from pipeline.cli import main

main()
