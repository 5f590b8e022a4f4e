"""What a reason code means for the person who has to do something about it."""

from __future__ import annotations

from typing import Final

#: code -> (what it means, what helps)
_MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "too_large": ("The message is longer than 1 MiB.", "The producer has to send less."),
    "empty": ("The message has no bytes.", "Look at the producer."),
    "invalid_utf8": ("The bytes are not UTF-8.", "The producer has to encode its text as UTF-8."),
    "bom": ("The message begins with a byte order mark.", "The producer has to leave it out."),
    "invalid_json": ("The bytes are not JSON.", "Often a message that was cut off."),
    "too_deep": ("The JSON is nested too deeply.", "Nothing that a payment needs is so deep."),
    "non_finite": ("NaN or Infinity stands where JSON has no such number.", "See the producer."),
    "not_an_object": ("The message is JSON, but no object.", "An event has to be one object."),
    "duplicate_key": ("A key is there twice.", "Which one counts cannot be known."),
    "invalid_encoding": (
        "The text that carries the event is not base64.",
        "Check `decoder` in the schema, or the producer.",
    ),
    "invalid_xml": (
        "The text that carries the event is no XML, or has a document type.",
        "Check `decoder` in the schema, or the producer.",
    ),
    "unrouted": ("No route of the schema takes this kind of message.", "Add one, or ignore it."),
    "required": ("A field that the schema asks for is missing.", "Send it, or give a default."),
    "wrong_type": (
        "A field has another type than the schema says.",
        "Change the schema or the producer.",
    ),
    "out_of_range": (
        "A number is outside of what the schema allows.",
        "Change the schema or the producer.",
    ),
    "not_a_multiple": (
        "A number is no multiple of what the schema says.",
        "Change the schema or the producer.",
    ),
    "wrong_length": (
        "A text or list is too short or too long.",
        "Change the schema or the producer.",
    ),
    "pattern_mismatch": (
        "A text does not match the schema's pattern.",
        "Change the schema or the producer.",
    ),
    "invalid_format": ("A text is not in the format that the schema names.", "Mend the producer."),
    "not_allowed": (
        "A value is none of those that the schema lists.",
        "Change the schema or the producer.",
    ),
    "unknown_field": ("A field that the schema does not allow.", "Allow it, or do not send it."),
    "unmapped_value": ("The schema's map has no entry for a value.", "Add it to the map."),
    "nul_character": ("A text holds the character NUL.", "No database can store it."),
    "lone_surrogate": ("A text holds half a character.", "The producer cuts texts in the middle."),
    "text_too_long": ("A text is longer than 256 characters.", "Map another field, or shorten it."),
    "invalid_number": ("A number cannot be read.", "Mend the producer."),
    "too_many_digits": ("An amount has more than 15 digits.", "Check the unit in the schema."),
    "too_many_parts": (
        "A message has more than 1,000 events.",
        "Have the producer split it.",
    ),
    "check_failed": ("A check of the schema does not hold.", "Change the check or the producer."),
    "not_computed": ("An expression has no result.", "Its numbers are too large: check the unit."),
    "too_many_decimals": ("An amount has more than 4 decimals.", "Amounts are never rounded."),
    "unknown_currency": ("The currency is not in ISO 4217.", "Mend it, or map it."),
    "unknown_status": ("The status has no canonical one.", "Add it to the schema's map."),
    "invalid_country": ("The country is not two letters.", "Map it in the schema."),
    "invalid_time": (
        "A time is not in the format that the schema names.",
        "Change the schema or the producer.",
    ),
    "time_out_of_range": ("A time is not within 2000 to 2100.", "Check its unit: s, ms or us."),
    "in_the_future": ("The event is more than 5 minutes ahead.", "Check the producer's clock."),
    "duplicate_conflict": (
        "An event with this identity was stored with another payload.",
        "Compare the two: the identity may be too narrow, or the producer changed an event.",
    ),
    "refused_by_database": ("The database refused this row.", "This is a bug of payflow: report."),
}


def meaning_of(code: str) -> tuple[str, str]:
    """What happened, and what helps; two empty texts for a code that is not known."""
    return _MEANINGS.get(code, ("", ""))
