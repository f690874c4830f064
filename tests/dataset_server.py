"""Data sets of a Hugging Face hub on the loopback interface, as far as `datasets.load_dataset` uses one.

Answers `/api/datasets/{repo}` (also `/revision`, `/tree`) and `/datasets/{repo}/resolve` with the hub's
headers and error codes, and writes down every request. Leaves out: Xet storage, long lists, models
(`hub_server`).
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

COMMIT = "fedcba9876543210fedcba9876543210fedcba98"
ROUTE = re.compile(r"/(?:api/)?datasets/([^/]+/[^/]+)(?:/(revision|tree|resolve)/[^/]+/?(.*))?")


class DatasetHub:
    """Serves `repos` (name → folder) while it is entered; `requests` holds the method and path of each."""

    def __init__(self, repos: dict[str, Path]) -> None:
        self.repos, self.requests = repos, []

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: DatasetHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 (http.server's names)
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        match = ROUTE.fullmatch(path)
        repo, kind, file = match.groups() if match else ("", "", "")
        if repo not in self.hub.repos:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        folder = self.hub.repos[repo]
        if kind in (None, "revision"):
            files = [{"rfilename": p.relative_to(folder).as_posix()} for p in _files(folder)]
            return self._json({"_id": "0", "id": repo, "sha": COMMIT, "siblings": files, "tags": []})
        if kind == "tree" and (folder / file).is_dir():
            return self._json([_entry(folder, p) for p in _files(folder / file)])
        if not (folder / file).is_file():
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        return self._file((folder / file).read_bytes())

    do_HEAD = do_GET  # noqa: N815

    def _file(self, content: bytes) -> None:
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_oid(content)}"', "Accept-Ranges": "bytes"}
        self._answer(200, content, headers)

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent; the tests look into `DatasetHub.requests`."""


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(folder: Path, path: Path) -> dict:
    content = path.read_bytes()
    name = path.relative_to(folder).as_posix()
    return {"type": "file", "oid": _oid(content), "size": len(content), "path": name}


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
