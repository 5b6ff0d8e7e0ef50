"""A web server of files on 127.0.0.1 that can be told to misbehave."""

import dataclasses
import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclasses.dataclass
class Fault:
    """What goes wrong in one answer.

    Args:
        status: answer with this error.
        cut: close the connection after so many bytes of the body.
        stall: wait `seconds` after so many bytes of the body.
        seconds: of the stall.
        longer: added to the Content-Length that is announced.
        early: a range begins so many bytes before what was asked for.
        redirect: address to send the client to.
    """

    status: int | None = None
    cut: int | None = None
    stall: int | None = None
    seconds: float = 0.0
    longer: int = 0
    early: int = 0
    redirect: str | None = None


class WeightsServer(ThreadingHTTPServer):
    """Serves `content` under every path; use as a context manager.

    Attributes:
        content: bytes of the file; its hash is the ETag.
        ranges: whether Range is honoured.
        conditions: whether If-Range is.
        validators: whether ETag and Last-Modified are sent.
        length: whether Content-Length is.
        faults: one is used up by each request.
        requests: (path, Range header) of each request.
    """

    daemon_threads = True

    def __init__(self, content: bytes, handler: type[BaseHTTPRequestHandler] | None = None):
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.content = content
        self.ranges = self.conditions = self.validators = self.length = True
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str | None]] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def next_fault(self) -> Fault:
        """What goes wrong in the next answer."""
        return self.faults.pop(0) if self.faults else Fault()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: WeightsServer

    def log_message(self, *arguments):
        """Quiet."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        self.answer(self.server.content, self.server.next_fault())

    def answer(self, content: bytes, fault: Fault, **headers: str) -> None:
        """Send a file, or what is asked for of it, and do wrong as told.

        Args:
            content: of the file; its hash is the ETag, unless `headers` have one.
            fault: what goes wrong.
            headers: of the answer, with _ for -.
        """
        server, asked = self.server, self.headers.get("Range")
        if fault.redirect:
            self.send_response(302)
            self.send_header("Location", fault.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault.status:
            self.send_error(fault.status)
            return
        etag = headers.pop("ETag", f'"{hashlib.sha256(content).hexdigest()[:16]}"')
        same = not server.conditions or self.headers.get("If-Range") in (None, etag)
        if asked and server.ranges and same:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                self.send_error(416)
                return
            start -= fault.early
            body = content[start:]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            body = content
            self.send_response(200)
        if server.validators:
            self.send_header("ETag", etag)
        if server.length:
            self.send_header("Content-Length", str(len(body) + fault.longer))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.stall is not None:
            self.wfile.write(body[: fault.stall])
            time.sleep(fault.seconds)
            body = body[fault.stall :]
        self.wfile.write(body[: fault.cut])
