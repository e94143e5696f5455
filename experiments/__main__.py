"""`python -m experiments` is `fathom`."""

from experiments.commands.main import main

if __name__ == '__main__':
  main()
