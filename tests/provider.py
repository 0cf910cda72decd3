"""An identity provider on loopback: it serves its keys and signs tokens, also wrong ones."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from world import World

AUDIENCE = "daybook"
_JWK: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def fresh(algorithm: str) -> Any:
    """Return a new private key."""
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


class Provider:
    """An issuer. `asked` has the paths that were asked for; `answers` replaces what it says."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.keys: dict[str, tuple[str, Any]] = {}
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.add("first", "ES256")

    def add(self, key_id: str, algorithm: str) -> None:
        """Make a key that the provider publishes from now on."""
        self.keys[key_id] = (algorithm, fresh(algorithm))

    def says(self, path: str) -> Any:
        """Return the document at a path."""
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        return {"keys": [self.public(key_id) for key_id in self.keys]} if path == "/keys" else None

    def public(self, key_id: str) -> dict[str, Any]:
        """Return a public key as the provider publishes it."""
        algorithm, key = self.keys[key_id]
        return {**json.loads(_JWK[algorithm].to_jwk(key.public_key())), "kid": key_id, "use": "sig"}

    def pem(self, key_id: str) -> bytes:
        """Return a public key as text."""
        pem: bytes = self.keys[key_id][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def token(self, key_id: str = "first", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token; a claim that is None is left out."""
        now = int(time.time())
        said = {
            "iss": self.issuer, "aud": AUDIENCE, "sub": "person-1", "email": "dora@acme.example",
            "iat": now, "exp": now + 300, "roles": ["audit-readers"], **claims,
        }  # fmt: skip
        algorithm, key = self.keys[key_id]
        kept = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(kept, key, algorithm, headers={"kid": key_id, **(header or {})})


@contextmanager
def serving() -> Iterator[Provider]:
    """Serve a provider on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = provider.says(self.path)
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            redirect = isinstance(document, str)
            self.send_response(302 if redirect else 404 if document is None else 200)
            if redirect:
                self.send_header("Location", document)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(server.server_port)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def trust(world: World, provider: Provider, slug: str = "acme", **words: Any) -> None:
    """Let a tenant name a provider, beyond its API."""
    said = {"issuer": provider.issuer, "audience": AUDIENCE, "algorithms": ["RS256", "ES256", "EdDSA"],
            "role_claim": "roles", "roles": {"audit-readers": "auditor", "admins": "admin"}, "default_role": "",
            **words}  # fmt: skip
    world.sql(
        "INSERT INTO shared.tenants_identityprovider (tenant_id, issuer, audience, algorithms, role_claim, roles,"
        " default_role) SELECT id, %s, %s, %s, %s, %s::jsonb, %s FROM shared.tenants_tenant WHERE slug = %s",
        said["issuer"], said["audience"], said["algorithms"], said["role_claim"], json.dumps(said["roles"]),
        said["default_role"], slug,
    )  # fmt: skip


def bearing(world: World, token: str, host: str = "acme") -> Any:
    """Return a client that sends a token."""
    api = world.api(host)
    api.headers = {"authorization": f"Bearer {token}"}
    return api
