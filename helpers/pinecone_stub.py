"""How can Pinecone's own client be tried without an account? By a small server on this machine that speaks its protocol.

`with PineconeStub() as host:` gives the address for `Pinecone(api_key=..., host=host)`. This is *our stub*, not Pinecone:
it keeps vectors in memory and compares them all (exact cosine), so it says nothing about Pinecone's speed, memory, recall or
price. What is real is the client and the requests it sends. Taught in `02_retrieval`, used by `vector_stores`.
Leaves out: keys (any will do), namespaces, sparse vectors, other metrics, pages of results, everything that the store does not need.
"""

import json
import operator
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

_COMPARE = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


class PineconeStub:
    """A server on 127.0.0.1 for the length of a `with` block, which gets its address; nothing outlasts the block.

    `requests` lists what was asked, such as `("POST", "/indexes")`. An index has its own address, as at Pinecone.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.indexes: dict[str, dict] = {}  # name → {"model": its description, "vectors": {id: vector}}
        self.lock = Lock()

    def __enter__(self) -> str:
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.host = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self.host

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: dict) -> tuple[int, dict]:
        """The HTTP status and the JSON for one request."""
        url = urlsplit(path)
        match [method, *map(unquote, url.path.strip("/").split("/"))]:
            case ["GET", "indexes"]:
                return 200, {"indexes": [index["model"] for index in self.indexes.values()]}
            case ["POST", "indexes"]:
                return self._create(body)
            case [_, "indexes" | "data", name, *_] if name not in self.indexes:
                return _error(404, f"Resource {name} not found")
            case ["GET", "indexes", name]:
                return 200, self.indexes[name]["model"]
            case ["DELETE", "indexes", name]:
                return 202, self.indexes.pop(name)["model"]
            case ["POST" | "GET", "data", name, *operation]:
                return _data(self.indexes[name], "/".join(operation), body or parse_qs(url.query))
        return _error(404, f"The stub has no {method} {url.path}")

    def _create(self, body: dict) -> tuple[int, dict]:
        if body["name"] in self.indexes:
            return _error(409, f"Resource {body['name']} already exists")
        model = {
            "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
            "deletion_protection": "disabled",
            **body,
            "status": {"ready": True, "state": "Ready"},
            "host": f"{self.host}/data/{body['name']}",
        }
        self.indexes[body["name"]] = {"model": model, "vectors": {}}
        return 201, model


def _data(index: dict, operation: str, body: dict) -> tuple[int, dict]:
    """One operation on the vectors of an index."""
    (field,) = index["model"]["schema"]["fields"].values()
    vectors, n_dimensions = index["vectors"], field["dimension"]
    match operation:
        case "vectors/upsert":
            if any(len(vector["values"]) != n_dimensions for vector in body["vectors"]):
                return _error(400, f"Vector dimension does not match the dimension of the index {n_dimensions}")
            vectors.update({vector["id"]: vector for vector in body["vectors"]})
            return 200, {"upsertedCount": len(body["vectors"])}
        case "vectors/fetch":
            return 200, {"vectors": {i: vectors[i] for i in body["ids"] if i in vectors}}
        case "vectors/list":
            return 200, {"vectors": [{"id": i} for i in sorted(vectors)]}
        case "vectors/delete":
            for i in list(vectors) if body.get("deleteAll") else body["ids"]:
                vectors.pop(i, None)
            return 200, {}
        case "describe_index_stats":
            return 200, {"dimension": n_dimensions, "totalVectorCount": len(vectors), "metric": field["metric"]}
        case "query":
            return 200, {"matches": list(islice(_nearest(vectors, body), body["topK"]))}
    return _error(404, f"The stub has no operation {operation!r}")


def _nearest(vectors: dict[str, dict], body: dict) -> Iterator[dict]:
    """What matches the filter, nearest first, equals in the order in which they came."""
    kept = [v for v in vectors.values() if _matches(v.get("metadata", {}), body.get("filter", {}))]
    if kept:
        rows, query = (
            np.array([v["values"] for v in kept], dtype=np.float32),
            np.array(body["vector"], dtype=np.float32),
        )
        cosines = rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))
        yield from ({"id": kept[i]["id"], "score": float(cosines[i])} for i in np.argsort(-cosines, kind="stable"))


def _matches(metadata: dict, where: dict) -> bool:
    for key, condition in where.items():
        if key == "$and":
            if not all(_matches(metadata, part) for part in condition):
                return False
            continue
        ((op, wanted),) = condition.items()
        value = metadata.get(key)
        if op == "$eq" and value != wanted:
            return False
        if op != "$eq" and not (isinstance(value, int | float) and _COMPARE[op](value, wanted)):
            return False
    return True


def _error(status: int, message: str) -> tuple[int, dict]:
    return status, {"status": status, "error": {"code": str(status), "message": message}}


class _Handler(BaseHTTPRequestHandler):
    stub: PineconeStub
    protocol_version = "HTTP/1.1"  # the client keeps its connection
    wbufsize = -1  # head and body leave together: apart, they would wait 40 ms for each other

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.stub.lock:
            self.stub.requests.append((self.command, self.path))
            status, answer = self.stub.answer(self.command, self.path, json.loads(content or "{}"))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  (the names that http.server looks for)

    def log_message(self, *_: object) -> None:
        """Stay silent; `requests` tells what was asked."""
