"""Who is behind a login: Twitch's requests want numbers, a deployment names channels. Owns what was looked up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from homunculus.adapters.twitch import faults
from homunculus.adapters.twitch.api import Api
from homunculus.adapters.twitch.grant import Grant

AT_ONCE = 100  # logins in a request, the most that Twitch takes
_LOGIN = re.compile(r"[a-z0-9_]{1,25}")


class Users:
    """Numbers by login, in lower case, for as long as a session lives."""

    def __init__(self, api: Api, grant: Grant) -> None:
        self._api, self._grant = api, grant
        self._known: dict[str, str] = {}

    async def numbers(self, logins: Iterable[str]) -> Mapping[str, str]:
        """Return the number of each login that is somebody's. Raise NotReady or Refused."""
        wanted = sorted({login for login in logins if _LOGIN.fullmatch(login)})
        unknown = [login for login in wanted if login not in self._known]
        for start in range(0, len(unknown), AT_ONCE):
            await self._look_up(unknown[start : start + AT_ONCE])
        return {login: self._known[login] for login in wanted if login in self._known}

    async def _look_up(self, logins: list[str]) -> None:
        try:
            found = await self._grant.ask(lambda: self._api.get_users(logins=logins))
        except Exception as error:
            raise faults.of_question(error, "to say who is who") from error
        self._known.update({user["login"].lower(): str(user["id"]) for user in found["data"]})
