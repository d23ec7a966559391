"""Money and limits under load, faults and kill −9: `make faults`, or `python -m bench.faults`.

Every check drives the served app (gunicorn and gevent) over real sockets, with an upstream that
fails on request, and then reads the database by itself. It knows the tables and the API, and none
of SolRouter's reckoning: that is what it examines.

| check      | what must hold                                                                 |
|------------|--------------------------------------------------------------------------------|
| overspend  | exactly the affordable number is served; a limit is exact to the request       |
| receipts   | one settled row for each request, whatever its upstream did; sums recomputed    |
| kill       | kill −9 and SIGTERM under open streams: nothing stuck, doubled or lost          |
| leave      | a client that leaves: upstream aborted, one row, the right charge               |
| outage     | PostgreSQL killed under open streams: 503, it heals, the settlements stand      |
"""
