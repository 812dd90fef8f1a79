"""A receiver of traces and of errors in the test's process, and a stack that sends to it."""

import gzip
import json
import re
import shutil
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sentry_sdk.envelope import Envelope

from deploy.server.launch import BACKENDS
from tests.stack.conftest import require
from tests.stack.local import LocalStack
from tests.stack.waiting import ROOT
from tests.tree import copy_reference

RECYCLED = 40  # requests of a worker
EACH = [pytest.param(each, marks=pytest.mark.xdist_group(f"processes-{each}-reports")) for each in BACKENDS]


class Span:
    """A span as it was received: its attributes and those of its resource are dicts."""

    def __init__(self, span, resource):
        self.name, self.kind, self.status = span.name, span.kind, span.status.code
        self.trace, self.parent = span.trace_id.hex(), span.parent_span_id.hex()
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        self.attributes, self.resource = values(span.attributes), values(resource.attributes)
        self.events = [(event.name, values(event.attributes)) for event in span.events]


def values(attributes):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


class Receiver(ThreadingHTTPServer):
    """Stores the spans and the error reports."""

    def __init__(self, address):
        super().__init__((address, 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.dsn = f"http://key@127.0.0.1:{self.server_port}/7"
        self.spans, self.errors, self.raw = [], [], []
        self.status = 200
        self.seconds = 0  # until it answers


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        receiver = self.server
        time.sleep(receiver.seconds)
        if receiver.status == 200:
            if self.path == "/v1/traces":
                for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                    spans = [span for scope in each.scope_spans for span in scope.spans]
                    receiver.spans += [Span(span, each.resource) for span in spans]
            else:
                receiver.raw.append(body.decode())
                event = Envelope.deserialize(body).get_event()
                receiver.errors += [event] if event else []
        self.send_response(receiver.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Log nothing."""


@contextmanager
def receiving(address="127.0.0.1"):
    """Return a receiver that runs."""
    with Receiver(address) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


@contextmanager
def reporting(backend, root, **settings):
    """Return a stack with the probe and one worker, whose server replaces it after RECYCLED requests."""
    require("processes", backend)
    copy_reference(root)
    shutil.copy(ROOT / "tests" / "stack" / "probe.py", root / "app" / "wsgi.py")
    for name, further in (("gunicorn.conf.py", ""), ("uwsgi.ini", "min-worker-lifetime = 0\n")):
        path = root / "deploy" / "server" / name
        if path.exists():
            text = re.sub(r"(?m)^(max.requests = )\d+", rf"\g<1>{RECYCLED}", path.read_text())
            path.write_text(re.sub(r"(?m)^(max.requests.(?:jitter|delta) = )\d+", r"\g<1>0", text) + further)
    stack = LocalStack(backend, root=root, WEB_CONCURRENCY="1", RELEASE="r7", LOG_FORMAT="json", **settings)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def lost(stack):
    """Return the number of lost reports by kind, and the messages, in the log."""
    entries = [json.loads(line) for line in stack.logs().splitlines() if '"lost"' in line]
    numbers = Counter()
    for each in entries:
        numbers[each["message"].split()[1]] += each["lost"]
    return numbers, [each["message"] for each in entries]
