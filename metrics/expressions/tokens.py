"""Text of an expression -> tokens, within the limits that keep compiling and running cheap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from metrics.expressions.kinds import ExpressionError

#: characters of one expression
MAX_LENGTH = 2_000
#: tokens of one expression; polars plans a chain of 300 operators in 0.03 s, 5,000 took minutes
MAX_TOKENS = 300

#: what people write who know another language
_HINTS = {
    "'": ": the text has no closing quote",
    '"': ": the name has no closing quote",
    "&": ": write AND",
    "|": ": write OR",
    "!": ": write NOT, or <> for unequal",
    "-": ": comments are not allowed",
}

TokenKind = Literal["number", "text", "name", "column", "operator", "end"]

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z_0-9.]))
  | (?P<text>'(?:[^']|'')*')
  | (?P<column>"(?:[^"]|"")+")
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<operator><>|!=|<=|>=|-(?!-)|[+*/%(),<>=])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    kind: TokenKind
    #: as written; names in upper case too, in `word`
    text: str
    #: 1-based character of the expression
    position: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind in {"name", "operator"} else ""

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"{self.text!r} at character {self.position}"


def tokenize(text: str) -> list[Token]:
    """Split `text`; the last token is always `end`. ExpressionError when it cannot be read."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"has {len(text):,} characters, at most {MAX_LENGTH:,} are allowed")
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            hint = _HINTS.get(text[position], "")
            message = f"cannot read {text[position]!r} at character {position + 1}{hint}"
            raise ExpressionError(message)
        kind = match.lastgroup
        if kind in {"number", "text", "column", "name", "operator"}:
            tokens.append(Token(kind=kind, text=match[0], position=position + 1))  # type: ignore[arg-type]
        position = match.end()
    if len(tokens) > MAX_TOKENS:
        raise ExpressionError(f"has {len(tokens):,} parts, at most {MAX_TOKENS} are allowed")
    tokens.append(Token(kind="end", text="", position=len(text) + 1))
    return tokens
