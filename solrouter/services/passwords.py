"""Passwords: which are good enough, and argon2id in native threads. Knows no users and no rows.

A hash fills 19 MiB and a core for some tens of milliseconds, so at most two run at a time and
neither runs in a greenlet. Accepted are 8 to 256 characters of any kind, less those that leaked so
often that everyone tries them, and what can be guessed from them by rule (OWASP ASVS 5.0, 6.2;
parameters: 11.4.2). The lists come with a package: nothing is asked of the network.
"""

import hashlib
import re
import secrets
import unicodedata
from concurrent.futures import Executor
from functools import cache
from importlib import import_module

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from solrouter import config, native_threads
from solrouter.errors import Refused

CHARACTERS_MIN = 8
CHARACTERS_MAX = 256
HASHES_AT_ONCE_MAX = 2
MARK_HEX = 32
# A local part shorter than this is in too many good passwords to mean anything.
LOCAL_PART_CHARACTERS_MIN = 3
TELLING = "Less the name in your e-mail address, too little is left of this password."

# A password that a program finds with fewer guesses than this is no password. Guesses are counted
# on the beginning, since counting takes longer than hashing where there is much to count.
GUESSES_MIN = 300_000
GUESSED_CHARACTERS_MAX = 48

# Compared without case, blanks and the digits and signs at the end: `Password2026!` is `password`.
TRIVIAL_WORDS = """
abcd abcdefgh abcdefghi access admin administrator asdfasdf asdfghjk asdfghjkl baseball batman
bitcoin changeme computer default demo dragon ethereum football google guest hunter iloveyou
internet jesus letmein liverpool login master michael mobilemail monkey mustang openai pa$$word
pa55word p@ssword p@ssw0rd pass passord passw0rd passwort password passwordpassword princess
q1w2e3r4 q1w2e3r4t5 qazwsx qazwsxedc qwer qwert qwerty qwertyui qwertyuiop qwertz root samsung
secret shadow sol solana solrouter starwars sunshine superman superuser temp test testtest
trustno whatever welcome zaq1zaq1 zaq12wsx zxcvbn zxcvbnm 1q2w3e4r 1q2w3e4r5t 1qaz2wsx
"""
TRIVIAL = frozenset(TRIVIAL_WORDS.split())
RUNS = ("01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz")


def refuse_weak(password: str, *, email: str = "") -> None:
    """Says what is wrong with a password that is too short, too long or too easily guessed.

    Raises Refused.
    """
    refuse_length(password)
    folded, local_part = password.casefold(), email.partition("@")[0].casefold()
    if _threads().submit(_is_guessable, folded, local_part).result():
        raise Refused("This password is among the first that anyone would try.", param="password")
    if len(local_part) < LOCAL_PART_CHARACTERS_MIN or local_part not in folded:
        return
    # `nora-2026!` is nobody's secret; `nora plants nine trees` is, and so is `creamy soup` of amy@.
    rest = folded.replace(local_part, "")
    if len(rest) < CHARACTERS_MIN or _threads().submit(_is_guessable, rest, local_part).result():
        raise Refused(TELLING, param="password")


def refuse_length(password: str) -> None:
    """Refuses a password that is too short or too long, and judges nothing else. Raises Refused."""
    if len(password) < CHARACTERS_MIN:
        raise Refused(f"The password needs at least {CHARACTERS_MIN} characters.", param="password")
    if len(password) > CHARACTERS_MAX:
        raise Refused(
            f"The password may have {CHARACTERS_MAX} characters at most.", param="password"
        )


def make_hash(password: str) -> str:
    """The argon2id hash of a password."""
    return _threads().submit(_hasher().hash, _bytes(password)).result()


def verify(stored: str | None, password: str) -> bool:
    """Whether the password is the stored one; takes its time also when nothing is stored."""
    hasher = _hasher()
    is_match = _threads().submit(_verify, hasher, stored, _bytes(password)).result()
    return is_match and stored is not None


def mark(stored: str | None) -> str:
    """A mark of the password that is stored: another password makes another mark. No secret."""
    return hashlib.sha256((stored or "").encode()).hexdigest()[:MARK_HEX]


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(stored)


def _hasher() -> PasswordHasher:
    settings = config.current()
    return _hasher_with(
        memory_kib=settings["SOLROUTER_ARGON2_MEMORY_KIB"],
        passes=settings["SOLROUTER_ARGON2_PASSES"],
        lanes=settings["SOLROUTER_ARGON2_LANES"],
    )


@cache
def _hasher_with(*, memory_kib: int, passes: int, lanes: int) -> PasswordHasher:
    return PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)


@cache
def _nobodys_hash(hasher: PasswordHasher) -> str:
    """Nobody's password, of today's cost: a sign-in that can only fail takes as long as any."""
    return hasher.hash(secrets.token_bytes(16))


def _verify(hasher: PasswordHasher, stored: str | None, password: bytes) -> bool:
    try:
        return hasher.verify(stored or _nobodys_hash(hasher), password)
    except (VerificationError, InvalidHashError):
        return False


def _bytes(password: str) -> bytes:
    # Keyboards differ in how they compose a letter; the person typed the same one (NIST 800-63B).
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _is_guessable(folded: str, local_part: str) -> bool:
    """By our own list, by a list of leaks, or by the guesses that a program needs."""
    if _is_trivial(folded):
        return True
    # 12 MB of words, in every worker: most of them never see a new password.
    zxcvbn = import_module("zxcvbn")
    if folded in zxcvbn.frequency_lists.FREQUENCY_LISTS["passwords"]:
        return True
    known = [part for part in (local_part, "solrouter") if part]
    found = zxcvbn.zxcvbn(folded[:GUESSED_CHARACTERS_MAX], user_inputs=known)
    return bool(found["guesses"] < GUESSES_MIN)


def _is_trivial(folded: str) -> bool:
    bare = re.sub(r"\s", "", folded)
    if len(set(bare)) <= 2 or any(bare in run for run in RUNS):
        return True
    return bare in TRIVIAL or re.sub(r"[\d\W_]+$", "", bare) in TRIVIAL


@cache
def _threads() -> Executor:
    # Made at first use: a pool belongs to the process that it was made in, not to its parent.
    return native_threads.executor(HASHES_AT_ONCE_MAX)
