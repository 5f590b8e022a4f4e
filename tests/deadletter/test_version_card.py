"""The page of a version says what began to fail when it went live."""

from __future__ import annotations

from configuration.activation import activate
from configuration.models import ConfigurationVersion
from configuration.versions import create_draft, text_of
from payflow.lib.pages.display import row_url

OLD = "merchant_id: {type: string"
NEW = 'merchant_id: {pattern: "^X-", type: string'


def test_what_began_with_a_version_stands_on_its_page(ingest, event, look):
    """With the way back; failures that were there before are not blamed on it."""
    ingest([b"{"])
    first = ConfigurationVersion.objects.get(kind="schema", name="transaction")
    text = text_of(first).replace(OLD, NEW)
    draft = create_draft(kind="schema", name="transaction", text=text)
    activate(draft, override_reason="they are not ours")
    ingest([event(1)])

    page = look(row_url("configuration.configurationversion", draft.pk))

    began = page.partition("Failures that began with v2")[2].partition("Fields")[0]
    assert "pattern_mismatch at merchant_id" in began
    assert "invalid_json" not in began
    assert "Roll back" in began
    assert "Failures that began" not in look(
        row_url("configuration.configurationversion", first.pk)
    )
