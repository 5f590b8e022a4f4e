"""manage.py dry_run: the same comparison from a terminal."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from configuration.models import Job


def test_it_prints_what_the_page_shows(ingest, event, draft, capsys):
    """In words, and as the JSON that the job keeps."""
    ingest([event(1), event(2, merchant_id="shop")])
    pattern = {"type": "string", "pattern": "^M-"}
    draft("schema", lambda d: d["json_schema"]["properties"].update(merchant_id=pattern))

    call_command("dry_run", "schema", "transaction")
    call_command("dry_run", "schema", "transaction@2", "--last", "9", "--json")

    *words, line = capsys.readouterr().out.splitlines()
    assert any("pattern_mismatch" in word for word in words)
    assert json.loads(line) == Job.objects.latest("pk").result


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["schema", "transaction"], "has no draft"),
        (["schema", "transaction@7"], "has no version 7"),
        (["schema", "transaction@x"], "has no version x"),
        (["schema", "transaction@1", "--source", "moon"], "'moon' does not use transaction"),
        (["schema", "transaction@1", "--last", "9", "--since", "1h"], "neither --since"),
        (["schema", "transaction@1", "--last", "99999999"], "at most 5,000,000"),
        (["schema", "transaction@1", "--since", "1h", "--until", "2h"], "after --since"),
        (["schema", "stripe@1"], "No source that was chosen uses"),
    ],
)
def test_a_wrong_wish_is_refused_in_words(ready, arguments, said):
    """And no job is made of it."""
    with pytest.raises(CommandError, match=said):
        call_command("dry_run", *arguments)

    assert not Job.objects.exists()
