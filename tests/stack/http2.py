"""A client of HTTP/2 that takes the end of a connection as a browser does, for tests that count what is lost.

A server that ends a connection names the last request that it looks at (GOAWAY; RFC 9113, 6.8): that one and those
before it are still answered, and later ones are the client's to send again. httpx gives up at that frame.
"""

import socket
import ssl
from contextlib import suppress

from hpack import Decoder, Encoder
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, SettingsFrame, WindowUpdateFrame


class AskAgainError(Exception):
    """The server has said that it has not looked at the request."""


class Connection:
    """One connection, on which one request after another is sent."""

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
        """End the connection."""
        self.file.close()
        self.socket.close()

    def get(self, path: str) -> int:
        """Return the status of the answer, once all of it is here; raise AskAgainError, or OSError where it is lost."""
        self.stream += 2
        names = [(":method", "GET"), (":path", path), (":scheme", "https"), (":authority", self.host)]
        request = HeadersFrame(self.stream, self.encoder.encode(names), flags=["END_HEADERS", "END_STREAM"])
        with suppress(OSError):  # it is closed; why, is there to be read
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
        """Return the next frame; raise OSError where the connection has ended."""
        head = self.file.read(9)
        if len(head) < 9:
            raise ConnectionResetError("the connection has ended without GOAWAY")
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(self.file.read(length)))
        return frame
