"""Azure's services as far as payflow speaks with them, on this machine, for the real SDK clients.

App Configuration checks the HMAC signature of each request (the whole of it: date, host and the
hash of the body), filters by key and label, pages, and answers 304 to a known ETag. Key Vault
speaks TLS and wants a token, which a managed identity hands out. Blob Storage checks SharedKey.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import trustme

KEY_ID = "payflow-test"
SECRET = base64.b64encode(b"a key for tests alone, 32 bytes!").decode()
HEADER = "a header for tests"
TOKEN = "a token for tests"


@dataclass
class Server:
    """What a handler answers from, and what it was asked."""

    #: (method, path with query, status)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    #: a status that all requests get instead of an answer; 0 for none
    fault: int = 0
    port: int = 0

    def statuses(self) -> list[int]:
        return [status for _, _, status in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_args: Any) -> None:
        """Nothing on standard error."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._take
        raise AttributeError(name)

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state = self.server.state
        if self.server.is_closed:  # a connection that outlived its server
            self.close_connection = True
        elif state.fault:
            self.reply(state.fault)
        else:
            self.answer(body)

    def answer(self, body: bytes) -> None:
        """What each server does when nothing is wrong; its subclass says."""
        raise NotImplementedError

    def reply(self, status: int, body: Any = None, **headers: str) -> None:
        self.server.state.asked.append((self.command, self.path, status))
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        self.send_response(status)
        if not isinstance(body, bytes) and body is not None:
            self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @property
    def query(self) -> dict[str, str]:
        return {
            name: values[0]
            for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()
        }


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    is_closed = False

    def handle_error(self, *_args: Any) -> None:
        """A client that hangs up is none of our business."""


@contextmanager
def serve(handler: type[Handler], state: Any, tls: ssl.SSLContext | None = None) -> Iterator[Any]:
    """Run a server until the block ends; `state.port` is where (the same again when it had one)."""
    server = _Quiet(("127.0.0.1", state.port), handler)
    server.state = state  # type: ignore[attr-defined]
    state.port = server.server_address[1]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.is_closed = True
        server.shutdown()
        server.server_close()
        thread.join()


# --- App Configuration ---------------------------------------------------------------------------


@dataclass
class AppConfiguration(Server):
    """A store; `put` and `delete` are what the portal does."""

    settings: dict[tuple[str, str | None], dict[str, Any]] = field(default_factory=dict)
    page_size: int = 100
    _writes: int = 0

    @property
    def connection_string(self) -> str:
        return f"Endpoint=http://localhost:{self.port};Id={KEY_ID};Secret={SECRET}"

    def put(
        self, key: str, value: str, *, label: str | None = None, content_type: str | None = None
    ) -> None:
        assert len(value.encode(errors="surrogatepass")) < 10_000, "Azure takes 10 KB a setting"
        self._writes += 1
        self.settings[key, label] = {
            "key": key,
            "label": label,
            "value": value,
            "content_type": content_type,
            "etag": f"e{self._writes}",
            "last_modified": "2026-11-21T00:00:00+00:00",
            "locked": False,
            "tags": {},
        }

    def delete(self, key: str, label: str | None = None) -> None:
        del self.settings[key, label]

    def matching(self, keys: str, label: str | None) -> list[dict[str, Any]]:
        found = [
            setting
            for (key, own), setting in list(self.settings.items())
            if own == label and any(_matches(key, part) for part in keys.split(","))
        ]
        return sorted(found, key=lambda setting: str(setting["key"]))


def _matches(key: str, pattern: str) -> bool:
    return key.startswith(pattern[:-1]) if pattern.endswith("*") else key == pattern


class AppConfigurationHandler(Handler):
    def answer(self, body: bytes) -> None:
        state: AppConfiguration = self.server.state
        if not self._is_signed(body):
            self.reply(401, WWW_Authenticate="HMAC-SHA256")
        elif urlsplit(self.path).path != "/kv":
            self.reply(404)
        else:
            label = self.query.get("label", "").strip("\0") or None
            found = state.matching(self.query.get("key", "*"), label)
            self._page(state, found, int(self.query.get("after", "0")))

    def _page(self, state: AppConfiguration, found: list[dict[str, Any]], start: int) -> None:
        page = found[start : start + state.page_size]
        digest = hashlib.sha256(json.dumps([s["etag"] for s in page]).encode()).hexdigest()
        etag = f'"{digest}"'
        extra: dict[str, Any] = {}
        links: dict[str, str] = {}
        if start + state.page_size < len(found):
            path = f"/kv?key={quote(self.query['key'])}&label={quote(self.query['label'])}"
            path += f"&api-version={self.query['api-version']}&after={start + state.page_size}"
            extra = {"@nextLink": path}
            links = {"Link": f'<{path}>; rel="next"'}
        if self.headers.get("If-None-Match") == etag:
            self.reply(304, ETag=etag, **links)
        else:
            self.reply(200, {"items": page, "etag": digest, **extra}, ETag=etag, **links)

    def _is_signed(self, body: bytes) -> bool:
        """Whether a token is shown, or the signature covers verb, path, date, host and body."""
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        scheme, _, rest = self.headers.get("Authorization", "").partition(" ")
        parts = dict(part.split("=", 1) for part in rest.split("&") if "=" in part)
        signed = parts.get("SignedHeaders", "")
        if scheme != "HMAC-SHA256" or signed.split(";") != [
            "x-ms-date",
            "host",
            "x-ms-content-sha256",
        ]:
            return False
        content = base64.b64encode(hashlib.sha256(body).digest()).decode()
        values = ";".join(self.headers.get(name, "") for name in signed.split(";"))
        text = f"{self.command}\n{self.path}\n{values}".encode()
        key = base64.b64decode(SECRET)
        wanted = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        return (
            parts.get("Credential") == KEY_ID
            and self.headers.get("x-ms-content-sha256") == content
            and hmac.compare_digest(parts.get("Signature", ""), wanted)
        )


# --- managed identity and Key Vault --------------------------------------------------------------


class IdentityHandler(Handler):
    """A managed identity's endpoint as App Service and Container Apps have it."""

    def answer(self, body: bytes) -> None:
        if self.headers.get("X-IDENTITY-HEADER") != HEADER:
            self.reply(401)
            return
        expires = str(int(time.time()) + 3600)
        resource = self.query["resource"]
        token = {"access_token": TOKEN, "expires_on": expires, "resource": resource}
        self.reply(200, {**token, "token_type": "Bearer"})


@dataclass
class KeyVault(Server):
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


class KeyVaultHandler(Handler):
    """Asks for a token first, as Key Vault does; then gives what it has."""

    def answer(self, body: bytes) -> None:
        state: KeyVault = self.server.state
        name = unquote(urlsplit(self.path).path.split("/")[2])
        if "Authorization" not in self.headers:
            login = "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000"
            challenge = f'Bearer authorization="{login}", resource="https://vault.azure.net"'
            self.reply(401, WWW_Authenticate=challenge)
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.reply(403, {"error": {"code": "Forbidden", "message": "no"}})
        elif name not in state.secrets:
            self.reply(404, {"error": {"code": "SecretNotFound", "message": name}})
        else:
            attributes = {"enabled": True, "created": 1, "updated": 1}
            place = f"{state.url}/secrets/{name}/v1"
            self.reply(200, {"value": state.secrets[name], "id": place, "attributes": attributes})


@contextmanager
def azure(tmp_path: Path, environment: Any) -> Iterator[ssl.SSLContext]:
    """A certificate that this process trusts, and an identity; `environment` is a MonkeyPatch."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    with serve(IdentityHandler, Server()) as identity:
        environment.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        environment.setenv("IDENTITY_ENDPOINT", f"http://localhost:{identity.port}/msi/token")
        environment.setenv("IDENTITY_HEADER", HEADER)
        yield tls


@contextmanager
def key_vault(tmp_path: Path, environment: Any) -> Iterator[KeyVault]:
    """A vault that is set, and that this process may read."""
    with (
        azure(tmp_path, environment) as tls,
        serve(KeyVaultHandler, KeyVault(), tls) as vault,
    ):
        environment.setenv("PAYFLOW_KEYVAULT_URL", vault.url)
        yield vault


# --- Blob Storage --------------------------------------------------------------------------------


@dataclass
class BlobStorage(Server):
    """An account with containers of small blobs, as the local emulators address them."""

    #: container -> path -> (bytes, metadata)
    containers: dict[str, dict[str, tuple[bytes, dict[str, str]]]] = field(default_factory=dict)

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey={SECRET};"
            f"BlobEndpoint=http://127.0.0.1:{self.port}/account;"
        )


#: what SharedKey signs, in its order
_SIGNED = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)


class BlobHandler(Handler):
    def answer(self, body: bytes) -> None:
        state: BlobStorage = self.server.state
        _, _, container, path = (*unquote(urlsplit(self.path).path).split("/", 3), "")[:4]
        if not self._is_signed():
            self._refuse(403, "AuthenticationFailed")
        elif not re.fullmatch(r"[a-z0-9](-?[a-z0-9]){2,62}", container):
            self._refuse(400, "InvalidResourceName")
        elif self.query.get("restype") == "container":
            state.containers.setdefault(container, {})
            self.reply(201)
        elif container not in state.containers:
            self._refuse(404, "ContainerNotFound")
        elif self.command == "PUT":
            self._put(state.containers[container], path, body)
        elif path in state.containers[container]:
            data, metadata = state.containers[container][path]
            named = {f"x-ms-meta-{name}": value for name, value in metadata.items()}
            if "x-ms-range" in self.headers:  # small ones are read in one piece
                named["Content-Range"] = f"bytes 0-{len(data) - 1}/{len(data)}"
            self.reply(206 if "Content-Range" in named else 200, data, **named)
        else:
            self._refuse(404, "BlobNotFound")

    def _put(self, blobs: dict[str, Any], path: str, body: bytes) -> None:
        if self.headers.get("If-None-Match") == "*" and path in blobs:
            self._refuse(409, "BlobAlreadyExists")
            return
        prefix = "x-ms-meta-"
        metadata = {
            name.lower().removeprefix(prefix): value
            for name, value in self.headers.items()
            if name.lower().startswith(prefix)
        }
        blobs[path] = (body, metadata)
        self.reply(201)

    def _refuse(self, status: int, code: str) -> None:
        text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
        self.reply(
            status, text.encode(), **{"x-ms-error-code": code, "Content-Type": "application/xml"}
        )

    def _is_signed(self) -> bool:
        """Whether SharedKey covers the standard headers, all x-ms- ones and the resource."""
        values = [self.headers.get(name, "") for name in _SIGNED]
        values[2] = "" if values[2] == "0" else values[2]
        own = sorted(
            (name.lower(), value)
            for name, value in self.headers.items()
            if name.lower().startswith("x-ms-")
        )
        resource = "/account" + urlsplit(self.path).path
        lines = [self.command, *values, *(f"{name}:{value}" for name, value in own), resource]
        lines += [f"{name}:{value}" for name, value in sorted(self.query.items())]
        key = base64.b64decode(SECRET)
        digest = hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).digest()
        wanted = f"SharedKey account:{base64.b64encode(digest).decode()}"
        return hmac.compare_digest(self.headers.get("Authorization", ""), wanted)
