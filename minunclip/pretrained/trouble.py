"""Why a download failed, in words that tell what to do about it.

The libraries wrap one error into another, so what happened is looked for in the whole chain of them.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator

from ..common import plain

# HTTP statuses: the line. Then classes of errors, or words of their messages. The first that fits counts.
STATUSES = {
    407: "the proxy on the way wants a name and a password: put them into HTTPS_PROXY (http://name:password@host:port)",
    429: "the hub has had too many requests from this address: wait some minutes, or log in with `hf auth login`",
}
WORDS = {
    ("OfflineModeIsEnabled", "HF_HUB_OFFLINE"):
        "HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set, so nothing may be fetched: unset it",
    ("ProxyError",):
        "the proxy in HTTPS_PROXY does not let it through: set it right, or unset it",
    ("CERTIFICATE_VERIFY_FAILED", "SSLCertVerificationError"):
        "the connection is not trusted (certificate): set the clock right, or behind a company's proxy set "
        "SSL_CERT_FILE to its certificate",
    ("JSONDecodeError", "to be served by a Hugging Face Hub", "is not the hub", "UnsupportedProtocol"):
        "what answered is a web page or another server, no hub: log in to this network in a browser first, or set "
        "HF_ENDPOINT right if it is set",
    ("PermissionError", "Read-only file system"):
        "the folder cannot be written to: set HF_HOME to a folder of yours",
    ("ConnectError", "ConnectTimeout", "ConnectionError", "MaxRetryError", "NewConnectionError", "gaierror", "URLError",
     "ReadError", "ReadTimeout", "RemoteProtocolError", "TimeoutError", "timed out", "Connection reset"):
        "there is no connection to the hub, or it was lost: connect to the internet once, and try again",
}  # fmt: skip


def cause(error: BaseException, elsewhere: str = "") -> str:
    """One line. elsewhere: where to look if the repository is gone."""
    found = statuses(error)
    if found & {401, 403}:
        return refused(found, elsewhere)
    if 404 in found:
        return f"the hub has no such repository or commit any more (404). {elsewhere}"
    if found & STATUSES.keys():
        return STATUSES[min(found & STATUSES.keys())]
    if any(status >= 500 for status in found):
        return f"the hub is out of order ({max(found)}): try again later"
    return next(filter(None, (plain(one) for one in chain(error))), "") or by_words(error)


def refused(found: set[int], elsewhere: str) -> str:
    """What to do about a 401 or 403, which the hub also answers for a repository that is private or gone."""
    from huggingface_hub import constants, get_token

    status = min(found & {401, 403})
    if not get_token():
        return f"the hub refuses it ({status}): the repository is closed or gone. {elsewhere}"
    in_file = constants.HF_TOKEN_PATH, "`hf auth logout`"
    place, cure = ("HF_TOKEN", "unset HF_TOKEN") if os.environ.get("HF_TOKEN") else in_file
    return (f"the hub refuses it ({status}) with your token, which is in {place}, and without: if the token is old, "
            f"{cure} or `hf auth login`; else the repository is closed or gone. {elsewhere}")  # fmt: skip


def by_words(error: BaseException) -> str:
    said = " ".join(f"{type(one).__name__} {one}" for one in chain(error))
    known = next((line for words, line in WORDS.items() if any(word in said for word in words)), "")
    short = textwrap.shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...")
    return known or f"connect to the internet once, and try again ({short})"


def statuses(error: BaseException) -> set[int]:
    """The HTTP statuses from 400 on that stand in an error's chain."""
    found = {getattr(getattr(one, "response", None), "status_code", 0) for one in chain(error)}
    return {status for status in found if status >= 400}


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it came from, what that came from, ..."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
