"""What gunicorn serves. The patch comes first: nothing may be imported above it."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import gevent  # noqa: E402

from solrouter import create_app, process  # noqa: E402
from solrouter.config import UnsafeConfiguration  # noqa: E402
from solrouter.errors import DatabaseUnavailable  # noqa: E402

# What gunicorn's own workers exit with when an app cannot be loaded: it stops, and does not retry.
APP_LOAD_ERROR = 4
# Who began whom, with a stack for each: nobody reads it, and each connection would pay for it.
gevent.config.track_greenlet_tree = False

try:
    app = create_app(is_server=True)
except DatabaseUnavailable as error:
    # gunicorn starts another worker, which waits anew; those that run go on.
    sys.stderr.write(f"{error.message}\n")
    sys.exit(1)
except UnsafeConfiguration as error:
    sys.stderr.write(f"\nSolRouter cannot start. {error}\n\n")
    sys.exit(APP_LOAD_ERROR)

process.keep_what_is_built()
