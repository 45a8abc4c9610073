"""A Hub of the tests' own on this machine: the few addresses that huggingface_hub asks for."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import unquote

FIRST, SECOND = "1" * 40, "2" * 40


class FakeHub:
    """Repositories as ``{name: {commit: {file: content}}}``, with branches and what was asked for."""

    def __init__(self):
        self.repositories = {}
        self.branches = {}
        self.listed = {}
        self.asked = []
        self.gated = set()
        self.licenses = {}
        self.url = ""

    def add(self, name, files, commit=FIRST, branches=("main",)):
        """Add a commit to a repository."""
        self.repositories.setdefault(name, {})[commit] = dict(files)
        self.branches.setdefault(name, {}).update(dict.fromkeys(branches, commit))

    def fetched(self):
        """Names of the files whose content was asked for."""
        return [
            PurePosixPath(path).name for method, path in self.asked if method == "GET" and "/resolve/" in path
        ]

    def commit_of(self, name, revision):
        commits = self.repositories[name]
        return revision if revision in commits else self.branches[name].get(revision)


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer("HEAD")

    def do_GET(self):
        self.answer("GET")

    def answer(self, method):
        path = unquote(self.path.partition("?")[0])
        self.hub.asked.append((method, path))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self.listing(parts[2:])
        elif len(parts) > 4 and parts[2] == "resolve":
            self.file(method, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.send(404)

    def find(self, name, revision):
        if name not in self.hub.repositories:
            self.send(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        if name in self.hub.gated:
            self.send(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return None
        commit = self.hub.commit_of(name, revision)
        if commit is None:
            self.send(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        return commit

    def listing(self, parts):
        name, revision = "/".join(parts[:2]), parts[3] if len(parts) > 3 else "main"
        commit = self.find(name, revision)
        if commit is None:
            return
        files = self.hub.listed.get(name) or {
            file: len(content) for file, content in self.hub.repositories[name][commit].items()
        }
        content = {
            "id": name,
            "sha": commit,
            "siblings": [{"rfilename": file, "size": size} for file, size in files.items()],
        }
        if name in self.hub.licenses:
            content["cardData"] = {"license": self.hub.licenses[name]}
        self.send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def file(self, method, name, revision, file):
        commit = self.find(name, revision)
        if commit is None:
            return
        content = self.hub.repositories[name][commit].get(file)
        if content is None:
            self.send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        headers = {
            "X-Repo-Commit": commit,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        self.send(200, headers, content, body=method == "GET")

    def send(self, status, headers=None, content=b"", *, body=True):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def running_hub():
    """Yield a `FakeHub` that answers at its ``url``."""
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
