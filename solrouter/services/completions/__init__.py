"""The conductor of a request: resolve, rank, admit, open, relay, settle.

Before the first content any fault moves on to the next offer, unseen by the caller. After it there
is only an honest end: finished, or an error. However it ends, it is settled exactly once; the
books' side of that is admission's, the reasons are here.

    ended                                   charged                         outcome, reason
    with a finish reason                    its usage, or our estimate      finished, finish_reason
    with the client gone                    usage seen, or our estimate     cancelled, client_left
    by our total deadline, after content    our estimate                    stopped, total_deadline
    by the balance, no hold could grow      our estimate                    stopped, balance
    by the key's limit, in the same way     our estimate                    stopped, key_limit
    by its maker's budget, in the same way  our estimate                    stopped, member_limit
    by a fault of the upstream or ours      nothing                         failed, its code

`planning` says who could serve a request and what it may cost, `starting` has it admitted,
`opening` brings it up to its first content, `running` relays and ends it, `books` settles it.
`estimating` says beforehand what all this would be.
"""

from solrouter.services.completions.estimating import Estimate, estimate
from solrouter.services.completions.running import Completion
from solrouter.services.completions.starting import start

__all__ = ["Completion", "Estimate", "estimate", "start"]
