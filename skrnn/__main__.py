"""``python -m skrnn`` is the command line."""

import sys

from skrnn.command_line import main

if __name__ == "__main__":
    sys.exit(main())
