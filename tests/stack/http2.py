"""An HTTP/2 client that handles GOAWAY as browsers do, for tests that count lost requests.

A server that closes a connection names the last request that it processes (GOAWAY; RFC 9113, 6.8). The client sends
later requests again on a new connection. httpx raises an error instead.
"""

import socket
import ssl
from contextlib import suppress

from hpack import Decoder, Encoder
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, SettingsFrame, WindowUpdateFrame


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
        self.stream += 2
        names = [(":method", "GET"), (":path", path), (":scheme", "https"), (":authority", self.host)]
        request = HeadersFrame(self.stream, self.encoder.encode(names), flags=["END_HEADERS", "END_STREAM"])
        with suppress(OSError):  # closed: the reason is in the frames to read
            self.socket.sendall(request.serialize())
        status = 0
        while True:
            frame = self.receive()
            if isinstance(frame, GoAwayFrame):
                self.is_ending = True
                if frame.error_code == 0 and frame.last_stream_id < self.stream:
                    raise AskAgainError
            elif isinstance(frame, HeadersFrame):
                status = int(next(iter(self.decoder.decode(frame.data)))[1])  # :status comes first
            if frame.stream_id == self.stream and "END_STREAM" in frame.flags:
                return status

    def receive(self) -> Frame:
        """Return the next frame; raise OSError if the connection is closed."""
        head = self.file.read(9)
        if len(head) < 9:
            raise ConnectionResetError("the connection was closed without GOAWAY")
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(self.file.read(length)))
        return frame
