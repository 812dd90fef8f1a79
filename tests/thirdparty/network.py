"""A pytest plugin: httpbin's tests send their requests to the server in SERVER, and do not call the application."""

import http.client
import os
from typing import Any
from urllib.parse import urlsplit

import httpbin
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse


class NetworkClient(FlaskClient):
    """A test client of Flask that sends requests over HTTP. It keeps no cookies."""

    def open(
        self, *arguments: Any, buffered: bool = False, follow_redirects: bool = False, **options: Any
    ) -> TestResponse:
        """Send the request and return the response."""
        request = EnvironBuilder(*arguments, **options).get_request()
        server = urlsplit(os.environ["SERVER"])
        connection = http.client.HTTPConnection(server.hostname or "", server.port)
        headers = {name: value for name, value in request.headers if value}
        target = request.full_path.removesuffix("?") if not request.query_string else request.full_path
        connection.request(request.method, target, request.get_data(), headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        response = TestResponse([body], f"{answer.status} {answer.reason}", Headers(answer.getheaders()), request)
        if follow_redirects and answer.status in (301, 302, 303, 307, 308):
            return self.open(response.headers["Location"], follow_redirects=True)
        return response


httpbin.app.test_client_class = NetworkClient
