"""`python -m tests.fakes.upstream`."""

from tests.fakes.upstream import main

main()
