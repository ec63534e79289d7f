"""python -m aggsim"""

import sys

from aggsim.cli import main

if __name__ == "__main__":
    sys.exit(main())
