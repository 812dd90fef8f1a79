"""An HTTP/2 client that handles GOAWAY as browsers do, for tests that count lost requests.

A server that closes a connection names the last request that it processes (GOAWAY; RFC 9113, 6.8). The client sends
later requests again on a new connection. httpx raises an error instead.
"""

import socket
import ssl
from contextlib import closing, suppress

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, SettingsFrame, WindowUpdateFrame

Fields = list[tuple[str, str]]
DROPPED = ("host", "connection", "transfer-encoding")  # fields that HTTP/2 does not have


class AskAgainError(Exception):
    """The server did not process the request, so the client must send it again."""


class Connection:
    """One connection for one request at a time."""

    def __init__(self, port: int, host: str, context: ssl.SSLContext) -> None:
        self.host = host
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30), server_hostname=host)
        self.file = self.socket.makefile("rb")
        self.encoder, self.decoder = Encoder(), Decoder()
        self.stream = -1
        self.is_ending = False
        room = WindowUpdateFrame(0, window_increment=2**30)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize() + room.serialize())

    def close(self) -> None:
        """Close the connection."""
        self.file.close()
        self.socket.close()

    def get(self, path: str) -> int:
        """Read a whole response and return its status; raise AskAgainError, or OSError if the request is lost."""
        names = [(":method", "GET"), (":path", path), (":scheme", "https"), (":authority", self.host)]
        return int(self.request(names)[0][0][1])  # :status comes first

    def request(self, fields: Fields, body: bytes = b"") -> tuple[Fields, bytes]:
        """Return the fields and the body of the response; raise the errors of `get`.

        Send at most the 65,535 bytes of the body that every server accepts (RFC 9113, 6.9.2).
        """
        self.stream += 2
        last = [] if body else ["END_STREAM"]
        frames: list[Frame] = [HeadersFrame(self.stream, self.encoder.encode(fields), flags=["END_HEADERS", *last])]
        for start in range(0, min(len(body), 65_535), 16_384):
            piece = body[start : min(start + 16_384, 65_535)]
            frames.append(
                DataFrame(self.stream, piece, flags=["END_STREAM"] if start + len(piece) == len(body) else [])
            )
        with suppress(OSError):  # closed: the reason is in the frames to read
            self.socket.sendall(b"".join(frame.serialize() for frame in frames))
        received: Fields = []
        content = b""
        while True:
            frame = self.receive()
            if isinstance(frame, GoAwayFrame):
                self.is_ending = True
                if frame.error_code == 0 and frame.last_stream_id < self.stream:
                    raise AskAgainError
            elif isinstance(frame, HeadersFrame):
                received = [(str(field[0]), str(field[1])) for field in self.decoder.decode(frame.data)]
            elif isinstance(frame, DataFrame):
                content += frame.data
            if frame.stream_id == self.stream and "END_STREAM" in frame.flags:
                return received, content

    def receive(self) -> Frame:
        """Return the next frame; raise OSError if the connection is closed."""
        head = self.file.read(9)
        if len(head) < 9:
            raise ConnectionResetError("the connection was closed without GOAWAY")
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(self.file.read(length)))
        return frame


def ask(port: int, context: ssl.SSLContext, sent: bytes) -> bytes:
    """Send a request that is written in HTTP/1.1, and return the response written in HTTP/1.1."""
    head, _, body = sent.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = line.split(" ")
    fields = [(name.lower(), value) for name, _, value in (field.partition(": ") for field in lines)]
    pseudo = [(":method", method), (":path", path), (":scheme", "https"), (":authority", dict(fields)["host"])]
    context.set_alpn_protocols(["h2"])
    with closing(Connection(port, "localhost", context)) as connection:
        received, content = connection.request([*pseudo, *(each for each in fields if each[0] not in DROPPED)], body)
    status, *rest = received
    answer = [f"HTTP/1.1 {status[1]} -", *(f"{name}: {value}" for name, value in rest), "", ""]
    return "\r\n".join(answer).encode("latin-1") + content
