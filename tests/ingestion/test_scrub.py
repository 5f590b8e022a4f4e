"""Scrubbing whole batches: what is masked, what stays, and that nothing is found twice."""

from __future__ import annotations

import contextlib
import hmac
import json
import re
import urllib.parse
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestion.scrub import Scrubbed, ScrubRules, scrub
from tests.ingestion.cards import BRANDS, PAYLOADS, card_number, payload

VISA = "4111111111111111"
MASKED = "411111******1111"
KEY = b"a secret of the tests"
NOTHING_SPARED = ScrubRules()


def scrubbed(
    *bodies: bytes,
    keys: list[bytes | None] | None = None,
    headers: list[bytes | None] | None = None,
    spared: tuple[str, ...] = (),
) -> Scrubbed:
    return scrub(list(bodies), keys, headers, rules=ScrubRules(spared=spared), key=KEY)


def one(body: str | bytes, *, spared: tuple[str, ...] = ()) -> str:
    raw = body if isinstance(body, bytes) else body.encode()
    return scrubbed(raw, spared=spared).bodies[0].decode("utf-8", "replace")


class TestCardNumbers:
    """Card numbers are hidden but for the first six and the last four digits."""

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ('{"pan": "4111111111111111"}', '{"pan": "411111******1111"}'),
            ('{"pan":4111111111111111}', '{"pan":4111110000001111}'),
            ('{"pan":-4111111111111111}', '{"pan":-4111110000001111}'),
            ('{"pan":4111111111111111.0}', '{"pan":4111110000001111.0}'),
            ('{"pan":4.111111111111111e15}', '{"pan":4.111110000001111e15}'),
            ('{"pan":0.4111111111111111E+16}', '{"pan":0.4111110000001111E+16}'),
            ('{"pan":411111111111111100e-2}', '{"pan":411111000000111100e-2}'),
            ('{"pan":"4.111111111111111E15"}', '{"pan":"4.11111******1111E15"}'),
            ('["4111 1111 1111 1111"]', '["4111 11** **** 1111"]'),
            ('["4111-1111-1111-1111"]', '["4111-11**-****-1111"]'),
            ('["4111+1111+1111+1111"]', '["4111+11**+****+1111"]'),
            ('["4111%201111%201111%201111"]', '["4111%2011**%20****%201111"]'),
            ('["?q=%204111111111111111%20"]', '["?q=%20411111******1111%20"]'),
            ('["\\u0034111111111111111"]', '["\\u003411111******1111"]'),
            ('["411111111\\u0031111111"]', '["411111***\\u002a**1111"]'),
            (
                '["4111\\u002d1111\\u002d1111\\u002d1111"]',
                '["4111\\u002d11**\\u002d****\\u002d1111"]',
            ),
            ('["caf\\u00e94111111111111111"]', '["caf\\u00e9411111******1111"]'),
            ('["a\\n4111111111111111\\n"]', '["a\\n411111******1111\\n"]'),
            ('["4111\u00a01111\u20131111\u20101111"]', '["4111\u00a011**\u2013****\u20101111"]'),
            ('["card4111111111111111x"]', '["card411111******1111x"]'),
            ('["0004111111111111111"]', '["000411111******1111"]'),
            ('["**4111111111111111**"]', '["**411111******1111**"]'),
            ('["2026-01-15 4111111111111111 123"]', '["2026-01-15 411111******1111 123"]'),
            ('{"4111111111111111": true}', '{"411111******1111": true}'),
            (
                '{"inner": "{\\"pan\\": 4111111111111111}"}',
                '{"inner": "{\\"pan\\": 411111******1111}"}',
            ),
            (
                '{"a": 4111111111111111, "a": 4111111111111111}',
                '{"a": 4111110000001111, "a": 4111110000001111}',
            ),
            ("4111111111111111", "4111110000001111"),
            ("pan=4111111111111111&x", "pan=411111******1111&x"),
            ('{"pan": 4111111111111111', '{"pan": 411111******1111'),
            ('["378282246310005"]', '["378282*****0005"]'),
            ('["pan=+378282246310005"]', '["pan=+378282*****0005"]'),
            ('["30569309025904"]', '["305693****5904"]'),
            ('["6011111111111117"]', '["601111******1117"]'),
            ('["3530111333300000"]', '["353011******0000"]'),
            ('["2223003122003222"]', '["222300******3222"]'),
            ('["6200000000000000000"]', '["620000*********0000"]'),
            ('["4222222222222"]', '["422222***2222"]'),
        ],
    )
    def test_is_hidden_in_every_spelling(self, body: str, expected: str) -> None:
        """Each way to write a card number is found, and no other byte changes."""
        assert one(body) == expected

    @pytest.mark.parametrize(
        "body",
        [
            '["4111111111111112"]',  # fails Luhn
            '["1111111111111117"]',  # no brand
            '["41111111111111110000"]',  # a longer number
            '{"ms": 1768780800000, "us": 1768780800000000}',
            '["+4915123456787", "004915123456787", "4915123456787", "+49 151 23456787"]',
            '["+4366412345671", "43 664 12345671"]',
            '["0.4532015112830366"]',
            '{"ratio": 0.4532015112830366, "f": 4.532015112830366}',
            '["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "01KF4Q2M3ZJX6T8R9V0W1Y2A3B"]',
            '["411111******1111", "4111 11** **** 1111"]',
            '{"pan": 4111110000001111}',
            '["4111  1111  1111  1111"]',  # two separators
            '{"n": 4e15, "m": 1e400, "k": 4e999999999}',
        ],
    )
    def test_what_only_looks_like_a_card_stays(self, body: str) -> None:
        """Ids, times, telephones, ratios and masked numbers are returned as the same object."""
        given_bodies = [body.encode()]

        result = scrub(given_bodies, None, None, rules=NOTHING_SPARED, key=KEY)

        assert result.bodies is given_bodies
        assert result.hits == {}

    def test_overlapping_numbers_are_both_hidden(self) -> None:
        """The shown end of one card number never shows the middle of another."""
        run = "4000 0012 4111 1111 1111 1111"
        assert [len(run[i : i + 19]) for i in (0, 10)] == [19, 19]

        masked = one(json.dumps([run]))

        assert "1111 1111" not in masked

    def test_utf16_is_masked(self) -> None:
        """A body in UTF-16 (no JSON here) does not carry the number past the mask."""
        body = f'{{"pan":"{VISA}"}}'.encode("utf-16")

        assert scrubbed(body).bodies[0].decode("utf-16") == f'{{"pan":"{MASKED}"}}'

    def test_invalid_utf8_is_masked_everywhere(self) -> None:
        """What is no UTF-8 is no JSON and has no spared paths; its neighbours are as ever."""
        bodies = (b'{"id":"4111111111111111","x":"\xff"}', b'{"id":"4111111111111111"}', b"{}")

        result = scrubbed(*bodies, spared=("id",))

        assert result.bodies == [b'{"id":"411111******1111","x":"\xff"}', *bodies[1:]]
        assert set(result.hits) == {0}


class TestSparedPaths:
    """Paths that the bundle spares keep their values; nothing else does."""

    @pytest.mark.parametrize(
        ("body", "masked"),
        [
            ({"id": VISA, "meta": {"id": int(VISA)}, "items": [{"id": VISA}, {"id": VISA}]}, 0),
            ({"meta.id": VISA}, 0),
            ({"ID": VISA, "x": {"id": VISA}, "items": {"no": VISA}}, 3),
            ({"id": {"deeper": VISA}, "meta": VISA}, 2),
            ({VISA: {"id": 1}, "id": {VISA: 1}}, 2),
        ],
    )
    def test_only_the_exact_path_is_spared(self, body: dict[str, Any], masked: int) -> None:
        """A spared path names values, through arrays; not what is above, below or a key."""
        text = one(json.dumps(body), spared=("id", "meta.id", "items[].id"))

        assert text.count("411111******1111") == masked
        assert text.count(VISA) == json.dumps(body).count(VISA) - masked

    def test_an_escaped_key_names_the_same_path(self) -> None:
        """`\\u0069d` is `id`."""
        body = '{"\\u0069d":"4111111111111111"}'

        assert one(body, spared=("id",)) == body

    def test_headers_and_keys_have_no_spared_paths(self) -> None:
        """Spared paths are the body's; a key is text even where it looks like a number."""
        value = b'{"id":"4111111111111111"}'

        result = scrubbed(
            value, b"{}", keys=[None, VISA.encode()], headers=[value, None], spared=("id",)
        )

        assert result.bodies == [value, b"{}"]
        assert result.keys == [None, MASKED.encode()]
        assert result.headers == [value.replace(VISA.encode(), MASKED.encode()), None]
        assert set(result.hits) == {0, 1}


class TestSecrets:
    """CVV and track data are blanked; what only speaks of them stays."""

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ('{"cvv":"123"}', '{"cvv":"***"}'),
            ('{"cvc": 123}', '{"cvc": 0}'),
            ('{"CVV2":"1234"}', '{"CVV2":"***"}'),
            ('{"issuerCvv":"123"}', '{"issuerCvv":"***"}'),
            ('{"cardCvv":"123"}', '{"cardCvv":"***"}'),
            ('{"card_security_code":"1\\n2"}', '{"card_security_code":"***"}'),
            ('{"cardVerificationValue":"123"}', '{"cardVerificationValue":"***"}'),
            ('{"cvv":["123",123]}', '{"cvv":["***",0]}'),
            ('{"cvv":{"value":"123","match":"M"}}', '{"cvv":{"value":"***","match":"M"}}'),
            ('{"\\u0063vv" : "123"}', '{"\\u0063vv" : "***"}'),
            ('{"cid":"1234"}', '{"cid":"***"}'),
            ('{"csc":"999"}', '{"csc":"***"}'),
            ('{"track2":"anything"}', '{"track2":"***"}'),
            ('{"magneticStripeData":"anything"}', '{"magneticStripeData":"***"}'),
            ('{"track":";4111111111111111=25121010000?"}', '{"track":"***"}'),
            (
                '["%B4111111111111111^DOE\\/J^2512101?;4111111111111111=25121010000?"]',
                '["***?;***?"]',
            ),
            ('["4111111111111111D25121010000F"]', '["***F"]'),
            ('[";4111111111111111\\u003d25121010000?"]', '[";***?"]'),
            ('{"url":"https:\\/\\/x\\/?cvv=123&b=1"}', '{"url":"https:\\/\\/x\\/?cvv=***&b=1"}'),
            ('{"s":"{\\"cvv\\":\\"123\\"}"}', '{"s":"{\\"cvv\\":\\"***\\"}"}'),
            ("<cvv>123</cvv> cvc: 1234 CVV2 123", "<cvv>***</cvv> cvc: *** CVV2 ***"),
            ('{"cvv":"123"', '{"cvv":"***"'),
            ("cvv=4111 1111 1111 1111", "cvv=*** 11** **** 1111"),
        ],
    )
    def test_is_blanked(self, body: str, expected: str) -> None:
        """Strings become three asterisks, numbers zero, wherever the name or the data is known."""
        assert one(body) == expected

    @pytest.mark.parametrize(
        "body",
        [
            '{"cvv_provided":true,"cvv":null,"has_cvv":1,"cvc_check":"pass","cvv_result":"M"}',
            '{"cvv":true,"cvv2":"","cvc":"***","csc":0}',
            '{"cid":"CUST-00000001","track":"side A","tracking":"123","security":"123"}',
            '{"processor":"stripe","cv":"123","incident":"123","verification_code":"123456"}',
        ],
    )
    def test_what_only_speaks_of_it_stays(self, body: str) -> None:
        """Flags, results, empty and blanked values and look-alike names are not card data."""
        assert one(body) == body

    def test_kinds_and_hash_are_kept(self) -> None:
        """A hit names what was found and the keyed hash of the body as it came."""
        body = b'{"cvv":"123","pan":"4111111111111111","t":"4111111111111111=25121010000"}'

        hit = scrubbed(b"{}", body).hits[1]

        assert hit.kinds == {"pan", "cvv", "track"}
        assert hit.original_hmac == hmac.digest(KEY, body, "sha256")


class TestTenThousandPayloads:
    """The acceptance figure: card numbers in 10,000 payloads of every kind, none left."""

    def test_no_card_number_survives(self) -> None:
        """No original digits remain, decoded or with separators stripped; valid JSON stays so."""
        cases = [payload(seed) for seed in range(PAYLOADS)]

        result = scrub(
            [case.body for case in cases],
            [case.key for case in cases],
            [case.headers for case in cases],
            rules=ScrubRules(spared=("transaction_id",)),
            key=KEY,
        )

        assert set(result.hits) == set(range(PAYLOADS))
        assert result.keys is not None
        assert result.headers is not None
        for index, case in enumerate(cases):
            parts = (result.bodies[index], result.keys[index], result.headers[index])
            assert not any(case.number in seen for part in parts if part for seen in readings(part))
            assert_only_digits_changed(case.body, result.bodies[index])
            if case.is_json:
                json.loads(result.bodies[index])

    @pytest.mark.parametrize("brand", BRANDS)
    def test_every_brand_is_generated(self, brand: str) -> None:
        """The generator of the test makes numbers of each brand that are masked alone."""
        number = card_number(brand, seed=3)

        assert one(f'["{number}"]') == f'["{number[:6]}{"*" * (len(number) - 10)}{number[-4:]}"]'


def readings(part: bytes) -> list[str]:
    """How a reader might see the bytes: as they are, decoded, unquoted, without separators."""
    text = part.decode("utf-8", "replace")
    readings = [text, re.sub(r"\\+u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)]
    with contextlib.suppress(ValueError):
        readings += [str(value) for value in leaves(json.loads(part))]
    readings += [urllib.parse.unquote_plus(reading) for reading in readings]
    return readings + [re.sub(r"[ +.\-\x00]", "", reading) for reading in readings]


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *(leaf for inner in value.values() for leaf in leaves(inner))]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value, f"{value:.0f}"] if isinstance(value, float) else [value]


def assert_only_digits_changed(original: bytes, masked: bytes) -> None:
    assert len(masked) == len(original)
    for before, after in zip(original, masked, strict=True):
        assert before == after or (chr(before) in "0123456789" and chr(after) in "*02a")


CARDISH = st.one_of(
    st.sampled_from((VISA, "4111 1111 1111 1111", "378282246310005", "4222222222222")),
    st.sampled_from(("%B4111111111111111^A/B^", ";4111111111111111=25121010000?", "^", "?")),
    st.sampled_from(("%20", "\\u0034", "\\u00e9", "*", "123", "0.", "+", "-", " ", "0", "e15")),
    st.sampled_from(("cvv=", "cvv 123", '"cvv":', "4.111111111111111e15", "{", "}", "[", "]")),
    st.sampled_from((",", ":", '"', "\\")),
    st.text(alphabet="0123456789", min_size=1, max_size=6),
    st.text(max_size=3),
)
TEXTS = st.lists(CARDISH, max_size=24).map("".join)
DOCUMENTS = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.just(int(VISA)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXTS | st.just("cvv"), inner, max_size=4)
    ),
    max_leaves=8,
)
BODIES = (
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | DOCUMENTS.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40)
)


class TestProperties:
    """What holds for any bytes."""

    @settings(max_examples=600)
    @given(bodies=st.lists(BODIES, min_size=1, max_size=4))
    @example(bodies=[b'["4000 0012 4111 1111 1111 1111 1111"]'])
    @example(bodies=[b'["4111111111114111 1111 1111 1111"]'])
    def test_scrubbing_is_idempotent(self, bodies: list[bytes]) -> None:
        """A second scrub finds nothing and returns the very same objects."""
        once = scrub(bodies, None, list(bodies), rules=NOTHING_SPARED, key=KEY)

        again = scrub(once.bodies, None, once.headers, rules=NOTHING_SPARED, key=KEY)

        assert again.bodies is once.bodies
        assert again.headers is once.headers
        assert again.hits == {}

    @settings(max_examples=600)
    @given(body=BODIES)
    def test_json_stays_json_and_broken_stays_broken(self, body: bytes) -> None:
        """Whether the bytes are JSON does not change, and the shape of the document neither."""
        masked = scrubbed(body).bodies[0]

        assert shape(masked) == shape(body)

    @settings(max_examples=300)
    @given(bodies=st.lists(BODIES, min_size=2, max_size=6))
    def test_a_message_is_masked_the_same_in_any_batch(self, bodies: list[bytes]) -> None:
        """What a message becomes does not depend on its neighbours."""
        together = scrubbed(*bodies).bodies

        assert together == [scrubbed(body).bodies[0] for body in bodies]


def shape(body: bytes) -> Any:
    """The document with every scalar replaced by its type; None for what is no JSON."""
    try:
        return outline(json.loads(body.decode(), parse_constant=refuse))
    except ValueError:
        return "no JSON"


def refuse(constant: str) -> None:
    raise ValueError(constant)


def outline(value: Any) -> Any:
    if isinstance(value, dict):
        return [outline(inner) for inner in value.values()] if len(value) < 2 else "object"
    if isinstance(value, list):
        return [outline(inner) for inner in value]
    return "number" if type(value) in {int, float} else type(value).__name__


class TestHostileBytes:
    """Input made to break the walk does not."""

    @pytest.mark.parametrize(
        "body",
        [
            b'{"a":' * 100_000 + b'"4111111111111111"' + b"}" * 100_000,
            b"[" * 100_000 + b"4111111111111111",
            b'"' + b"\\" * 500_000 + b"4111111111111111",
            b"4111111111111111" + b" 4" * 300_000,
            b'["' + b"4111111111114111 1111 1111 1111 " * 3_000 + b'"]',
            b'["' + b"B4111111111111111^" * 20_000 + b' 4111111111111111"]',
            b"cvv" + b"\\" * 300_000 + b" 4111111111111111",
            b"4111111111111111 " + b"1" * 500_000 + b"=",
        ],
        ids=["deep", "open", "backslashes", "digits", "chain", "tracks", "cvv", "long"],
    )
    @pytest.mark.timeout(20)
    def test_takes_seconds_at_most(self, body: bytes) -> None:
        """Nesting of 100,000 levels, endless escapes and digits are masked in linear time."""
        assert VISA.encode() not in scrubbed(body).bodies[0]
