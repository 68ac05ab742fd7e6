"""`python -m polysense` is `polysense`."""

from polysense.cli import main

main()
