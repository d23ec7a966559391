"""How fast SolRouter is beside other programs on the same work: `make bench`.

    make bench                            all questions, three rounds, some minutes; writes docs/
    make bench B="--short"                about a minute, to see that it works; writes var/bench/
    make bench B="--only plain --targets floor solrouter-sqlite direct"
    make bench B="--growth full"          as workers, history and customers grow: alone, half an
                                          hour; its table takes the place of the page's former one
    make bench B="--growth"               the same, smaller, some minutes
    make bench-peers                      installs LiteLLM's proxy and Portkey into .bench-peers/

Needs Linux, two cores and `make setup-dev`; no root, nothing else. PostgreSQL
(`SOLROUTER_TEST_POSTGRESQL`, default 127.0.0.1:5432), nginx and the peers are measured if they are
there, and named as missing if not.

| question | what is asked |
|----------|--------------------------------------------------------------------------------|
| plain    | requests/s and CPU per request, not streamed, 64 at once                       |
| streamed | events/s and CPU per event: 16 streams, 200 events each, as fast as they go    |
| alone    | what is added to one request at a time                                         |
| crowd    | 1 000 streams at once: time to first token, memory at the peak and after       |
| gap      | 256 at once: how long `/healthz` waits, asked every 5 ms                       |

Every program runs alone on one core when it is its turn (the others are idle); callers, upstream
and PostgreSQL's backends are on another. Programs take turns in every round, so that what disturbs
the machine disturbs all. Answers are judged (`answers.py`), books are read afterwards (`run.py`).

To add a program: a class in `targets/`, its name in `run.NAMES` and `run.targets`.
"""
