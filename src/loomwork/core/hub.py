"""The hub of Hugging Face: which commit a revision means, and what went wrong in words.

Its own client asks it: it honours HF_ENDPOINT and HF_HUB_OFFLINE, and takes a token from HF_TOKEN or the user's login.
The token is in no setting, so that it reaches neither the ledger nor a log; should an error say it, it is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from loomwork.core.errors import InputError
from loomwork.core.secret import hidden

HUB_ID = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")
COMMIT = "[0-9a-f]{40}"  # a revision that cannot move, as branches and tags can
WAIT_SECONDS = 60.0
Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class HubState:
    """A state of a repository.

    Args:
        id: "owner/name", as the hub calls it now: a renamed repository is found by its old name too.
        commit: 40 hexadecimal digits.
    """

    id: str
    commit: str


def hub_state(kind: Kind, name: str, revision: str | None) -> HubState:
    """What a revision of a repository means now, after asking whether it may be read.

    Args:
        name: "owner/name".
        revision: a commit, a tag or a branch; None for the main branch.

    Raises:
        InputError: no such repository or revision, no access to it, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with hub_errors(kind, name, revision):
        api = HfApi()
        info = api.repo_info(name, repo_type=kind, revision=revision, timeout=WAIT_SECONDS)
        if info.gated:  # all may see what a gated repository is, and only some its files
            api.auth_check(name, repo_type=kind)
        return HubState(info.id, str(info.sha))


@contextmanager
def hub_errors(kind: Kind, name: str, revision: str | None = None) -> Iterator[None]:
    """Turn the errors of the hub's client into ours. Other errors pass."""
    from huggingface_hub import constants, errors, get_token

    try:
        yield
    except errors.GatedRepoError as error:
        page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"
        if error.response.status_code == 403:
            raise InputError(
                f"the {kind} {name} is gated, and the account of your token has no access to it",
                f"ask for access at {page}, or set HF_TOKEN to a token of an account that has it",
            ) from None
        raise InputError(
            f"the {kind} {name} is gated: the hub gives it only to accounts that were let in",
            f"ask for access at {page}, then put a token that may read into the environment variable HF_TOKEN",
        ) from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"the hub has no {kind} {name}, or it is private",
            "check the id; for a private one put a token that may read into the environment variable HF_TOKEN",
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(
            f"the {kind} {name} has no revision {revision!r}", "give a branch, a tag or a whole commit that it has"
        ) from None
    except errors.HfHubHTTPError as error:
        status, token = error.response.status_code, get_token()
        what = hidden(error.server_message or error.response.reason_phrase, [token] if token else [])
        hint = "check HF_TOKEN" if status in (401, 403) else "try again later"
        raise InputError(f"the {kind} {name} cannot be read: the hub answered {status} {what}", hint) from None
    except Exception as error:
        if not _unreachable(error):
            raise
        why = ": HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else ""
        hint = "check the network and HF_ENDPOINT, or give a folder on this disk"
        if kind == "model":
            hint += "; what was downloaded once is found without the hub if revision= is its commit"
        raise InputError(f"{name} cannot be read: the hub cannot be reached{why}", hint) from None


def _unreachable(error: Exception) -> bool:
    """Whether it says that no answer came: the clients use httpx, whose errors are no OSErrors, in two versions."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionResolutionError

    of_httpx = type(error).__module__.partition(".")[0] in ("httpx", "httpx2")
    return of_httpx or isinstance(
        error, ConnectionError | TimeoutError | LocalEntryNotFoundError | RevisionResolutionError
    )
