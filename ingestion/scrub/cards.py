"""Which digits are a card number: brand, length, Luhn, and where a number may begin and end.

Brands and lengths follow ISO/IEC 7812 ranges as the brands publish them. Maestro has narrow
prefixes only: its full range (50, 56-69) would take every tenth numeric id for a card. Known to
fit by chance: about 3 in 100 random numbers of exactly 16 digits; identity paths are spared by the
rules for that reason, and `bench/scrub.py --ids` says the rate for each kind of id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: digits of the BIN and of the end that stay readable (PCI DSS 3.4.1)
SHOWN_FIRST, SHOWN_LAST = 6, 4
SHORTEST, LONGEST = 13, 19
#: Behind a plus or 00 the 13 digits of an old Visa are a telephone (+43, +49); no country whose
#: code begins like Amex or Diners has numbers as long as theirs.
LONGER_THAN_A_PHONE = 14

#: (first prefix, last prefix, lengths), prefixes of four digits
_BRANDS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (4000, 4914, (13, 16, 19)),  # Visa
    (4915, 4917, (16, 19)),  # with 13 digits these are German mobile telephones
    (4918, 4999, (13, 16, 19)),
    (5100, 5599, (16,)),  # Mastercard
    (2221, 2720, (16,)),  # Mastercard, second range
    (3400, 3499, (15,)),  # American Express
    (3700, 3799, (15,)),
    (3000, 3059, (14, 16)),  # Diners Club
    (3095, 3095, (14, 16)),
    (3600, 3699, (14, 16)),
    (3800, 3999, (14, 16)),
    (6011, 6011, (16, 19)),  # Discover
    (6440, 6599, (16, 19)),
    (3528, 3589, (16, 19)),  # JCB
    (6200, 6299, (16, 17, 18, 19)),  # UnionPay
    *((prefix, prefix, tuple(range(13, 20))) for prefix in (5018, 5020, 5038, 5893, 6304)),
    *((prefix, prefix, tuple(range(13, 20))) for prefix in (6759, 6761, 6762, 6763)),  # Maestro
)


def _lengths_by_prefix() -> dict[bytes, tuple[int, ...]]:
    return {
        b"%04d" % prefix: lengths
        for first, last, lengths in _BRANDS
        for prefix in range(first, last + 1)
    }


_LENGTHS = _lengths_by_prefix()
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


def begins_like_card(digits: bytes) -> bool:
    """Whether the ASCII digits, but for zeros in front, begin with a brand's prefix."""
    return digits.lstrip(b"0")[:4] in _LENGTHS


def passes_luhn(digits: bytes) -> bool:
    """Whether the ASCII digits end in their Luhn check digit (ISO/IEC 7812-1, annex B)."""
    plain = digits[-1::-2]
    return (sum(plain) - 48 * len(plain) + sum(digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def is_card_number(digits: bytes) -> bool:
    """Whether the ASCII digits, all of them, are a card number."""
    return len(digits) in _LENGTHS.get(digits[:4], ()) and passes_luhn(digits)


def hidden_digits(digits: bytes, starts: dict[int, int], stops: set[int]) -> set[int]:
    """The indexes to mask in a run of ASCII digits.

    `starts` maps each index where a number may begin to the fewest digits it must have there;
    `stops` are the indexes behind a possible last digit. Every window that is a card number is
    hidden but for its first six and last four. Hiding makes new edges (the shown end of one number
    may begin another), so those are tried too until none is left: a second scrub finds nothing.
    """
    starts = {_behind_zeros(digits, at): least for at, least in starts.items()}
    hidden: set[int] = set()
    if not any(digits[start : start + 4] in _LENGTHS for start in starts):
        return hidden  # saves most of the time: ids, times
    fresh: Iterable[int] = tuple(starts)
    while fresh:
        windows = [
            (start, stop)
            for start in fresh
            for stop in _window_stops(digits, start, starts[start], stops)
            if not hidden or hidden.isdisjoint(range(start, stop))
        ]
        if not windows:
            break
        found = {i for a, b in windows for i in range(a + SHOWN_FIRST, b - SHOWN_LAST)} - hidden
        hidden |= found
        new_starts = {_behind_zeros(digits, i + 1) for i in found if i + 1 not in hidden}
        new_starts -= starts.keys()
        starts |= dict.fromkeys(new_starts, SHORTEST)
        new_stops = {i for i in found if i - 1 not in hidden} - stops
        stops |= new_stops
        reached = {i for stop in new_stops for i in range(stop - LONGEST, stop - SHORTEST + 1)}
        fresh = new_starts | (reached & starts.keys())
    return hidden


def hidden_in_decimal(digits: bytes, point: int) -> range:
    """The indexes to mask in a decimal number of ASCII digits with its point at index `point`.

    Its whole part is the candidate, so that 4.111111111111111e15 (`point` 16) is seen as what it
    is, 4111111111111111.0 as well; digits that an exponent leaves unwritten are zeros.
    """
    start = len(digits) - len(digits.lstrip(b"0"))
    if not SHORTEST <= point - start <= LONGEST:
        return range(0)
    if not is_card_number(digits[start:point].ljust(point - start, b"0")):
        return range(0)
    return range(start + SHOWN_FIRST, min(point - SHOWN_LAST, len(digits)))


def _behind_zeros(digits: bytes, start: int) -> int:
    """Fixed-width records pad card numbers with zeros, and no card number begins with one."""
    while digits[start : start + 1] == b"0":
        start += 1
    return start


def _window_stops(digits: bytes, start: int, least: int, stops: set[int]) -> Iterator[int]:
    for length in _LENGTHS.get(digits[start : start + 4], ()):
        stop = start + length
        if length < least or stop not in stops or not passes_luhn(digits[start:stop]):
            continue
        if length == SHORTEST and not _old_grouping(start, stops):
            continue
        yield stop


def _old_grouping(start: int, stops: set[int]) -> bool:
    """Whether 13 digits stand together, 4-3-3-3 or 4-4-4-1, as on the first Visa cards.

    Otherwise 43 664 1234567 89 would do, and the -4xxx-xxxx-xxxxx of every UUID begins like a Visa.
    """
    inner = {i - start for i in range(start + 1, start + SHORTEST) if i in stops}
    return not inner or inner in ({4, 7, 10}, {4, 8, 12})
