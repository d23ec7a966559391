"""What gunicorn serves. The patch comes first: nothing may be imported above it."""

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import sys  # noqa: E402

from solrouter import create_app  # noqa: E402
from solrouter.config import UnsafeConfiguration  # noqa: E402
from solrouter.errors import DatabaseUnavailable  # noqa: E402

# What gunicorn's own workers exit with when an app cannot be loaded: it stops, and does not retry.
APP_LOAD_ERROR = 4
# A request makes hundreds of objects and leaves no rings of them, so the collector looks seldom.
YOUNG_OBJECTS_MAX = 10_000

try:
    app = create_app(is_server=True)
except DatabaseUnavailable as error:
    # gunicorn starts another worker, which waits anew; those that run go on.
    sys.stderr.write(f"{error.message}\n")
    sys.exit(1)
except UnsafeConfiguration as error:
    sys.stderr.write(f"\nSolRouter cannot start. {error}\n\n")
    sys.exit(APP_LOAD_ERROR)

# What has been built until here stays, and need not be looked through again and again.
gc.collect()
gc.freeze()
gc.set_threshold(YOUNG_OBJECTS_MAX, 10, 10)
