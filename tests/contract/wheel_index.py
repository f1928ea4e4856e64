"""A package index on this machine, with wheels made up for a test, and a memory of what was asked of it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath


@dataclass
class WheelIndex:
    """What the index holds; change it while it serves."""

    files: dict[str, bytes] = field(default_factory=dict)
    #: What it tells of each wheel beside it (PEP 658), so that nobody fetches one only to read it.
    metadata: dict[str, str] = field(default_factory=dict)
    #: Sizes that it announces, where they are not the files' own.
    announced: dict[str, int] = field(default_factory=dict)
    #: Status with which it answers everything, where that is not 200.
    status: int = 200
    #: Names of files that it was asked for, in order.
    fetched: list[str] = field(default_factory=list)
    #: The file that it starts to send and does not, until `go_on`.
    stalled: str = ""
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def add(
        self, name: str, version: str = "1.0", *, needs: tuple[str, ...] = (), holds: Mapping[str, str] = {}
    ) -> None:
        """A wheel with one module of its name that knows its version, and further files."""
        info = f"{name}-{version}.dist-info"
        needed = "".join(f"Requires-Dist: {line}\n" for line in needs)
        files = {
            f"{name}.py": f"VERSION = {version!r}\n",
            **holds,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, text in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(path, text)
        wheel = f"{name}-{version}-py3-none-any.whl"
        self.files[wheel] = packed.getvalue()
        self.metadata[wheel] = files[f"{info}/METADATA"]

    def add_source(self, name: str, setup: str) -> None:
        """A package that has no wheel and would run `setup` when it is built."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, text in {"setup.py": setup, "PKG-INFO": f"Name: {name}\nVersion: 1.0\n"}.items():
                entry = tarfile.TarInfo(f"{name}-1.0/{path}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        self.files[f"{name}-1.0.tar.gz"] = packed.getvalue()

    def listing(self, name: str) -> bytes | None:
        """The page of a package (PEP 691), None where there is no such package."""
        found = [file for file in self.files if file.split("-")[0].replace("_", "-") == name]
        files = [
            {
                "filename": file,
                "url": f"{self.url}/files/{file}",
                "hashes": {"sha256": hashlib.sha256(self.files[file]).hexdigest()},
                "core-metadata": file.endswith(".whl"),
                "size": self.announced.get(file, len(self.files[file])),
            }
            for file in found
        ]
        page = {"meta": {"api-version": "1.1"}, "name": name, "versions": ["1.0"], "files": files}
        return json.dumps(page).encode() if found else None


@contextmanager
def serving(index: WheelIndex) -> Iterator[WheelIndex]:
    """Serve the index on a port of its own; its address is `index.url`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = PurePosixPath(self.path).name
            if index.status != 200:
                self.send_error(index.status)
            elif name.endswith(".metadata"):
                self._send(index.metadata[name.removesuffix(".metadata")].encode(), "text/plain")
            elif self.path.startswith("/files/"):
                self._file(name)
            else:
                self._send(index.listing(name), "application/vnd.pypi.simple.v1+json")

        def _file(self, name: str) -> None:
            index.fetched.append(name)
            if name == index.stalled:
                index.reached.set()
                index.go_on.wait()
            self._send(index.files.get(name), "application/octet-stream")

        def _send(self, body: bytes | None, kind: str) -> None:
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

        def handle(self) -> None:
            # Who was ended does not listen any more.
            with suppress(ConnectionError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield index
    finally:
        index.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
