"""Where the compilers of schemas and rule sets register, so that configuration need not know them.

The apps above register at `ready()`. A validator raises ConfigurationError with every Problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from configuration.compatibility import Compatibility

#: (document, name) -> anything; raises ConfigurationError
Validator = Callable[[Mapping[str, Any], str], object]
#: content of a bundle -> anything; raises ConfigurationError
BundleValidator = Callable[[Mapping[str, Any]], object]
#: broker type, settings -> anything; raises ConfigurationError
SourceValidator = Callable[[str, Mapping[str, Any]], object]
#: broker type, settings old and new -> anything; raises ConfigurationError
SettingsComparison = Callable[[str, Mapping[str, Any], Mapping[str, Any]], object]
#: documents of two schemas, old and new -> what a change from one to the other would break
Comparison = Callable[[Mapping[str, Any], Mapping[str, Any]], "Compatibility"]

_documents: dict[str, Validator] = {}
_bundle: list[BundleValidator] = []
_source: list[SourceValidator] = []
_settings: list[SettingsComparison] = []
_comparison: list[Comparison] = []


def register(
    *,
    documents: Mapping[str, Validator],
    bundle: BundleValidator,
    source: SourceValidator,
    settings: SettingsComparison,
    compatibility: Comparison,
) -> None:
    """Called once, by the app that evaluates."""
    _documents.update(documents)
    _bundle[:] = [bundle]
    _source[:] = [source]
    _settings[:] = [settings]
    _comparison[:] = [compatibility]


def validate_document(kind: str, document: Mapping[str, Any], name: str) -> None:
    """Raises ConfigurationError when a document cannot be compiled."""
    _documents[kind](document, name)


def validate_bundle(content: Mapping[str, Any]) -> None:
    """Raises ConfigurationError when the parts of a bundle do not fit together."""
    _bundle[0](content)


def validate_source(broker_type: str, settings: Mapping[str, Any]) -> None:
    """Raises ConfigurationError when a source's settings are wrong."""
    _source[0](broker_type, settings)


def validate_settings_change(
    broker_type: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Raises ConfigurationError when new settings of a source are wrong, or name another log."""
    _settings[0](broker_type, old, new)


def compare_schemas(old: Mapping[str, Any], new: Mapping[str, Any]) -> Compatibility:
    """What the change from one schema document to another would break; never raises."""
    return _comparison[0](old, new)
