"""Hours of mixed load, and a thousand streams aborted: `make soak`, or `python -m bench.soak`.

Everything goes through the served app (gunicorn and gevent) over real sockets, and its processes
are watched from outside and, for what only they can tell, from inside (`inside/sitecustomize`).

| check  | what must hold                                                                     |
|--------|------------------------------------------------------------------------------------|
| aborts | 1 000 streams aborted, 250 at a time: no socket, greenlet, thread or connection to |
|        | the database is left behind, and each has its receipt                              |
| mixed  | streams, failures, clients that leave and silences of up to ten minutes behind a   |
|        | proxy that hangs up on the silent: every answer is honest, and nothing grows        |
"""
