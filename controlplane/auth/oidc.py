"""JWTs of an OpenID Connect issuer (RFC 7519, RFC 8725): whose they are, and the roles that claims give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import jwt

from controlplane.auth.rights import Caller, Rights, rights_of
from controlplane.auth.tokens import Authentication, Refused

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Signatures by a private key. With others, who may check a token could make one."""
LEEWAY = 30
"""Seconds by which clocks may differ."""
NAME_LENGTH = 200
PREFIX = "oidc:"
"""Before the names of callers, so that nobody gets the name of a token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a JWT has to say. issuer, audience: exactly so. name: the claim that names the caller.

    roles: the claim with values that `mapping` turns into roles; dots lead into objects
    (`realm_access.roles`).
    """

    issuer: str
    audience: str
    mapping: Mapping[str, str]
    roles: str = "roles"
    name: str = "sub"


@dataclass
class Issuer:
    """Knows the keys of an issuer. Implements Authentication. `unknown_key`: whether a JWT named a key that
    is not among them since the last `use`, as after a renewal.
    """

    claims: Claims
    unknown_key: bool = False
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict[str, jwt.PyJWK])

    def use(self, keys: bytes) -> int:
        """Take the keys of a JSON Web Key Set (RFC 7517), and return their number. Raises ValueError."""
        try:
            found = jwt.PyJWKSet.from_json(keys.decode())
        except (jwt.PyJWTError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(f"is not a JSON Web Key Set with keys that can be used: {error}") from None
        self._keys = {key.key_id or "": key for key in found.keys if key.key_type != "oct"}
        self.unknown_key = False
        if not self._keys:
            raise ValueError("has no public key")
        return len(self._keys)

    def caller_of(self, credentials: str) -> Caller:
        """See Authentication."""
        if not self._keys:
            raise Refused("cannot be checked: the keys of the issuer are not known yet", guess=False)
        key = self._key(credentials)
        try:
            claims: dict[str, Any] = jwt.decode(
                credentials,
                key,
                algorithms=list(ALGORITHMS),
                audience=self.claims.audience,
                issuer=self.claims.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", self.claims.name]},
            )
        except jwt.InvalidSignatureError:
            raise Refused("has a signature that is not the issuer's") from None
        except jwt.ExpiredSignatureError:
            raise Refused("has expired", guess=False) from None
        except jwt.InvalidAudienceError:
            raise Refused("is for another audience", guess=False) from None
        except jwt.InvalidIssuerError:
            raise Refused("is of another issuer", guess=False) from None
        except jwt.PyJWTError as error:
            raise Refused(f"is not a valid JWT ({type(error).__name__})") from None
        name = claims[self.claims.name]
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH:
            raise Refused(f"has no name in the claim {self.claims.name}", guess=False)
        return Caller(PREFIX + name, self._rights(claims), "jwt")

    def _key(self, credentials: str) -> jwt.PyJWK:
        try:
            name = jwt.get_unverified_header(credentials).get("kid")
        except jwt.PyJWTError:
            raise Refused("is neither a known token nor a JWT") from None
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        if name not in self._keys:
            self.unknown_key = True
            raise Refused("is signed with a key that the issuer does not have")
        return self._keys[name]

    def _rights(self, claims: Mapping[str, Any]) -> Rights:
        value = claims.get(self.claims.roles)
        if value is None:
            value = _within(claims, self.claims.roles.split("."))
        given = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        mapping = self.claims.mapping
        roles = [mapping[one] for one in cast(list[Any], given) if isinstance(one, str) and one in mapping]
        if not roles:
            raise Refused(f"names no role of Laneway in the claim {self.claims.roles}", guess=False)
        return rights_of(roles)


def _within(claims: Any, path: Sequence[str]) -> Any:
    for part in path:
        claims = claims.get(part) if isinstance(claims, Mapping) else None
    return claims


def mapping_of(pairs: Sequence[str]) -> dict[str, str]:
    """From `value=role` to roles by value. Raises ValueError."""
    found: dict[str, str] = {}
    for pair in pairs:
        value, equals, role = pair.rpartition("=")
        if not equals or not value:
            raise ValueError(f"{pair!r} is not VALUE=ROLE, such as sre=admin")
        rights_of([role])
        found[value] = role
    return found


@dataclass(frozen=True, slots=True)
class Either:
    """Tokens of the file, and JWTs of the issuer."""

    tokens: Authentication
    issuer: Authentication

    def caller_of(self, credentials: str) -> Caller:
        """See Authentication."""
        try:
            return self.tokens.caller_of(credentials)
        except Refused as refused:
            if not refused.guess or not is_jwt(credentials):
                raise
        return self.issuer.caller_of(credentials)


def is_jwt(credentials: str) -> bool:
    """Whether it looks like one: three parts, the first of which is JSON."""
    return credentials.count(".") == 2 and credentials.startswith("eyJ")
