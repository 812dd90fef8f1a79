"""nginx's error pages and the app's say the same about the same status."""

import json
import re
from http import HTTPStatus

import pytest

from app.response import error
from tests.unit.configuration import nginx
from tests.wsgi import call


def table(variable):
    """Return nginx's map from a status to the text of this variable."""
    [lines] = re.findall(rf"map \$status \${variable} \{{(.+?)\n\}}", nginx, re.DOTALL)
    return {int(status): text for status, text in re.findall(r'(\d{3}) "(.+)";', lines)}


TITLES, DETAILS = table("error_title"), table("error_detail")


@pytest.mark.parametrize("status", TITLES)
def test_app_and_nginx_say_the_same_about_a_status(status):
    answer = call(lambda environ, start_response: error(environ, start_response, HTTPStatus(status)), "/")
    problem = json.loads(answer.body)
    assert (problem["title"], problem["detail"]) == (TITLES[status], DETAILS[status])


def test_nginx_has_a_title_and_a_sentence_for_each_status_of_its_own():
    pages = re.findall(r"^error_page ([\d ]+) (?:/nginx-errors/|\$page_of_)", nginx, re.MULTILINE)
    own = {int(status) for statuses in pages for status in statuses.split()} | {503, 504}
    assert own == TITLES.keys() == DETAILS.keys()
