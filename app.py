"""What the `flask` command finds: the app, for commands and for development."""

import sys

from solrouter import create_app
from solrouter.config import UnsafeConfiguration

try:
    app = create_app()
except UnsafeConfiguration as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(2)
