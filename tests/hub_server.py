"""A Hugging Face hub on the loopback interface, as far as `snapshot_download` uses one.

Answers `/api/models/{repo}/revision/{revision}`, `/api/models/{repo}/tree/{revision}` and
`/{repo}/resolve/{revision}/{file}` (HEAD, GET, Range), with the hub's headers and error codes, notes every
request, and can break off an answer in the middle. Leaves out: Xet storage, redirects to a CDN, datasets.
"""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROUTE = re.compile(r"/(?:api/models/)?([^/]+/[^/]+)/(revision|tree|resolve)/([^/]+)/?(.*)")


@dataclass
class Hub:
    """Serves `repos` (name → folder): at any full commit hash, and by the name `main` at COMMIT."""

    repos: dict[str, Path]
    gated: set[str] = field(default_factory=set)
    break_off: set[str] = field(default_factory=set)  # files whose next GET ends half-way
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, method: str, *, file: str = "") -> list[str]:
        """The paths asked for by `method`, those ending in `file`."""
        return [path for verb, path, _ in self.requests if verb == method and path.endswith(file)]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:  # noqa: N802 (http.server's name)
        self.do_GET()

    def do_GET(self) -> None:  # noqa: N802
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        match = ROUTE.fullmatch(path)
        repo, kind, revision, file = match.groups() if match else ("", "", "", "")
        if repo not in self.hub.repos:
            return self._error(404, "RepoNotFound", "Repository not found")
        if repo in self.hub.gated and kind == "resolve":  # the hub shows a gated model's files, but not their bytes
            return self._error(401, "GatedRepo", f"Access to model {repo} is restricted.")
        if revision != "main" and not re.fullmatch("[0-9a-f]{40}", revision):
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        commit = COMMIT if revision == "main" else revision
        folder = self.hub.repos[repo]
        if kind == "revision":
            return self._json({"_id": "0", "id": repo, "sha": commit, "siblings": _siblings(folder)})
        if kind == "tree":
            return self._json([_entry(folder, path) for path in _files(folder)])
        if not (folder / file).is_file():
            return self._error(404, "EntryNotFound", "Entry not found")
        return self._file(folder / file, commit)

    def _file(self, path: Path, commit: str) -> None:
        content = path.read_bytes()
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{_git_oid(content)}"')
        if path.suffix in (
            ".safetensors",
            ".bin",
        ):  # large files: the hash of their bytes, not of the git object
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if self.command == "GET" and path.name in self.hub.break_off:
            self.hub.break_off.discard(path.name)
            end //= 2
        if self.command == "GET":
            self.wfile.write(content[start:end])

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent; the tests look into `Hub.requests`."""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _siblings(folder: Path) -> list[dict]:
    return [{"rfilename": path.relative_to(folder).as_posix()} for path in _files(folder)]


def _entry(folder: Path, path: Path) -> dict:
    content = path.read_bytes()
    entry = {"type": "file", "oid": _git_oid(content), "size": len(content)}
    if path.suffix in (".safetensors", ".bin"):
        oid = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
    return {**entry, "path": path.relative_to(folder).as_posix()}


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
