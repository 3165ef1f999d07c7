"""A small server of files: it gives parts, breaks off on demand, and can speak TLS with an expired certificate."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

EXPIRED = Path(__file__).with_name("expired.pem")  # certificate and key, made for these tests: of 127.0.0.1, until 2021


@dataclass
class Files:
    """content: files by name. breaks_at: bytes after which the next answer stops. asked: ranges asked for, "" for all.

    tag: how it tells one version of a file from another; "" for a server that does not. whole: it knows no parts.
    """

    url: str = ""
    content: dict[str, bytes] = field(default_factory=dict)
    breaks_at: int | None = None
    tag: str = '"first"'
    whole: bool = False
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving_files(*, expired: bool = False) -> Iterator[Files]:
    """Serve until the block ends; over TLS, with a certificate that has expired, if that is asked for."""
    files = Files()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.content.get(self.path.removeprefix("/"))
            part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            files.asked.append(self.headers.get("Range", ""))
            start = int(part[1]) if part and not files.whole and self.headers.get("If-Range") == files.tag else 0
            if content is None or (start and start >= len(content)):
                self.send_error(404 if content is None else 416)
                return
            self.send_response(206 if start else 200)
            if files.tag:
                self.send_header("ETag", files.tag)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end, files.breaks_at = files.breaks_at, None
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # a client that hangs up is no news
    if expired:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(EXPIRED)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    files.url = f"{'https' if expired else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
