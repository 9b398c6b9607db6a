"""`python -m langroute`: the command line, where its script is not on the path."""

from langroute.cli import main

if __name__ == "__main__":
    main()
