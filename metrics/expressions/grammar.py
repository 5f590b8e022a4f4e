"""Recursive descent over the tokens of one expression; each level writes its own SQL.

    or         = and { OR and }
    and        = not { AND not }
    not        = [ NOT ] comparison
    comparison = sum [ (= | <> | != | < | <= | > | >=) sum | IS [NOT] NULL
                     | [NOT] IN ( sum, .. ) | [NOT] BETWEEN sum AND sum | [NOT] LIKE 'text' ]
    sum        = product { (+ | -) product }
    product    = unary { (* | / | %) unary }
    unary      = - unary | atom
    atom       = ( or ) | literal | column | CASE .. END | CAST(..) | EXTRACT(..) | NAME(..)

Division by zero gives null, CAST that does not fit gives null, numbers written in the text are
exact decimals (compared with floats they become floats).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from metrics.expressions import functions
from metrics.expressions.kinds import ExpressionError, Kind, Node, common_kind, number_kind
from metrics.expressions.tokens import Token, tokenize
from payflow.lib.spelling import did_you_mean

#: levels of brackets, NOT, CASE and function calls inside each other
MAX_DEPTH = 12
#: characters of the SQL that is written: IN writes its left side once per number, and within one
#: another that grows beyond any memory
MAX_WRITTEN = 20_000
#: digits of a number written in an expression, before and after the point
MAX_WHOLE_DIGITS, MAX_DECIMALS = 18, 10

_COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
_RESERVED = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL", "BETWEEN", "LIKE", "CASE", "WHEN"})
_RESERVED |= {"THEN", "ELSE", "END", "TRUE", "FALSE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A checked expression. `sql` is canonical: the same meaning however it was spaced."""

    sql: str
    kind: Kind
    #: columns it reads
    columns: frozenset[str]

    def polars(self) -> pl.Expr:
        """The expression for polars; it looks at one row at a time.

        Where all rows have the same value, polars may give it once, as one row.
        """
        return pl.sql_expr(self.sql)


def compile_expression(text: str, columns: Mapping[str, Kind]) -> Expression:
    """Check `text` against the columns and their kinds; ExpressionError says what is wrong."""
    parser = _Parser(tokenize(text), columns)
    node = parser.whole()
    return Expression(sql=node.sql, kind=node.kind, columns=frozenset(parser.used))


def _need(node: Node, kind: Kind, *, where: str) -> Node:
    if node.kind is not kind:
        raise ExpressionError(f"{where} takes {kind}, not {node.kind}")
    return node


def _need_number(node: Node, *, where: str) -> Node:
    if not node.kind.is_number:
        raise ExpressionError(f"{where} takes numbers, not {node.kind}")
    return node


class _Parser:
    """One pass over the tokens of one expression."""

    def __init__(self, tokens: list[Token], columns: Mapping[str, Kind]) -> None:
        self.tokens = tokens
        self.columns = columns
        self.at = 0
        self.depth = 0
        self.used: set[str] = set()

    # tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self, *words: str) -> str | None:
        """Move past the next token if it is one of `words`."""
        word = self.token.word
        if word not in words:
            return None
        self.at += 1
        return word

    def need(self, word: str) -> None:
        if self.take(word) is None:
            raise ExpressionError(f"expected {word}, found {self.token}")

    # levels

    def whole(self) -> Node:
        node = self.alternatives()
        if self.token.kind != "end":
            raise ExpressionError(f"expected the end, found {self.token}")
        return node

    def alternatives(self) -> Node:
        if self.depth >= MAX_DEPTH:
            raise ExpressionError(f"is nested more than {MAX_DEPTH} levels deep")
        self.depth += 1
        node = self.logic("OR", lambda: self.logic("AND", self.negation))
        if len(node.sql) > MAX_WRITTEN:
            raise ExpressionError("is too large: lists of numbers are nested too deeply")
        self.depth -= 1
        return node

    def logic(self, word: str, operand: Callable[[], Node]) -> Node:
        nodes = [operand()]
        while self.take(word):
            nodes.append(operand())
        if len(nodes) == 1:
            return nodes[0]
        parts = [_need(node, Kind.BOOLEAN, where=word).sql for node in nodes]
        return Node(sql=f"({f' {word} '.join(parts)})", kind=Kind.BOOLEAN)

    def negation(self) -> Node:
        if self.take("NOT") is None:
            return self.comparison()
        node = _need(self.comparison(), Kind.BOOLEAN, where="NOT")
        return Node(sql=f"(NOT {node.sql})", kind=Kind.BOOLEAN)

    def comparison(self) -> Node:
        left = self.sum()
        if operator := self.take(*_COMPARISONS):
            return self.compare(left, "<>" if operator == "!=" else operator, self.sum())
        if self.take("IS"):
            test = "IS NOT NULL" if self.take("NOT") else "IS NULL"
            self.need("NULL")
            return Node(sql=f"({left.sql} {test})", kind=Kind.BOOLEAN)
        negated = self.take("NOT") is not None
        if self.take("IN"):
            node = self.membership(left)
        elif self.take("BETWEEN"):
            node = self.between(left)
        elif self.take("LIKE"):
            node = self.like(left)
        elif negated:
            raise ExpressionError(f"expected IN, BETWEEN or LIKE, found {self.token}")
        else:
            return left
        return Node(sql=f"(NOT {node.sql})", kind=Kind.BOOLEAN) if negated else node

    def compare(self, left: Node, operator: str, right: Node) -> Node:
        kind = common_kind([left, right], where=operator)
        if kind is Kind.BOOLEAN and operator not in {"=", "<>"}:
            raise ExpressionError(f"{operator} takes numbers or text, not boolean")
        return Node(sql=f"({left.sql} {operator} {right.sql})", kind=Kind.BOOLEAN)

    def membership(self, left: Node) -> Node:
        """IN; of numbers as alternatives of `=`, which compare decimals exactly."""
        items = self.arguments()
        tests = [self.compare(left, "=", item).sql for item in items]
        if all(item.is_text_literal for item in items):
            return Node(
                sql=f"({left.sql} IN ({', '.join(item.sql for item in items)}))", kind=Kind.BOOLEAN
            )
        return Node(sql=f"({' OR '.join(tests)})", kind=Kind.BOOLEAN)

    def between(self, left: Node) -> Node:
        low = self.sum()
        self.need("AND")
        high = self.sum()
        self.compare(left, ">=", low)
        self.compare(left, "<=", high)
        return Node(sql=f"({left.sql} BETWEEN {low.sql} AND {high.sql})", kind=Kind.BOOLEAN)

    def like(self, left: Node) -> Node:
        _need(left, Kind.TEXT, where="LIKE")
        pattern = self.atom()
        if not pattern.is_text_literal:
            raise ExpressionError("LIKE takes a pattern in quotes")
        return Node(sql=f"({left.sql} LIKE {pattern.sql})", kind=Kind.BOOLEAN)

    def sum(self) -> Node:
        nodes, operators = self.chain(self.product, "+", "-")
        if not operators:
            return nodes[0]
        return self.arithmetic(nodes, operators, [node.exact() for node in nodes])

    def product(self) -> Node:
        nodes, operators = self.chain(self.unary, "*", "/", "%")
        if not operators:
            return nodes[0]
        operands = [nodes[0].exact()]
        for operator, node in zip(operators, nodes[1:], strict=True):
            # Decimal division by zero raises in polars; in a rule it means "no value".
            divides = operator != "*" and (node.literal is None or Decimal(node.literal) == 0)
            operands.append(f"NULLIF({node.exact()}, 0)" if divides else node.exact())
        return self.arithmetic(nodes, operators, operands)

    def chain(self, operand: Callable[[], Node], *words: str) -> tuple[list[Node], list[str]]:
        nodes, operators = [operand()], []
        while operator := self.take(*words):
            operators.append(operator)
            nodes.append(operand())
        return nodes, operators

    def arithmetic(self, nodes: list[Node], operators: list[str], operands: list[str]) -> Node:
        for node in nodes:
            _need_number(node, where=operators[0])
        tail = "".join(f" {op} {sql}" for op, sql in zip(operators, operands[1:], strict=True))
        return Node(sql=f"({operands[0]}{tail})", kind=number_kind(*nodes))

    def unary(self) -> Node:
        if self.take("-") is None:
            return self.atom()
        if self.token.kind == "number":
            return self.number(sign="-")
        node = _need_number(self.atom(), where="-")
        return Node(sql=f"(0 - {node.exact()})", kind=number_kind(node))

    # atoms

    def atom(self) -> Node:
        token = self.token
        if self.take("("):
            node = self.alternatives()
            self.need(")")
        elif word := self.take("TRUE", "FALSE"):
            node = Node(sql=word, kind=Kind.BOOLEAN)
        elif self.take("CASE"):
            node = self.case()
        elif token.kind == "number":
            node = self.number()
        elif token.kind == "text":
            self.at += 1
            node = Node(sql=token.text, kind=Kind.TEXT, is_text_literal=True)
        elif token.kind == "column":
            node = self.column(token.text[1:-1].replace('""', '"'))
        elif token.kind == "name" and token.word not in _RESERVED:
            called = self.tokens[self.at + 1].word == "("
            node = self.call(token.word) if called else self.column(token.text)
        else:
            raise ExpressionError(f"expected a value, found {token}")
        return node

    def number(self, sign: str = "") -> Node:
        token = self.token
        self.at += 1
        value = Decimal(token.text)
        if value.adjusted() >= MAX_WHOLE_DIGITS:
            raise ExpressionError(f"{token} has more than {MAX_WHOLE_DIGITS} digits")
        text = f"{value.normalize():f}" if value else "0"
        if len(text.partition(".")[2]) > MAX_DECIMALS:
            raise ExpressionError(f"{token} has more than {MAX_DECIMALS} decimals")
        kind = Kind.EXACT if "." in text else Kind.INTEGER
        return Node(sql=sign + text, kind=kind, literal=sign + text)

    def column(self, name: str) -> Node:
        self.at += 1
        kind = self.columns.get(name)
        if kind is None:
            raise ExpressionError(self.unknown(name))
        self.used.add(name)
        return Node(sql='"' + name.replace('"', '""') + '"', kind=kind)

    def unknown(self, name: str) -> str:
        """What is wrong with the name before: what looks like a column and is none."""
        if name.upper() == "SELECT":
            return "subqueries are not allowed: a rule looks at one transaction"
        known = ", ".join(sorted(self.columns))
        quoted = self.tokens[self.at - 1].kind == "column"
        hint = f"; texts stand in single quotes: '{name}'" if quoted else ""
        hint = did_you_mean(name, self.columns) or hint
        return f"unknown column {name!r}{hint}; known are {known}"

    def arguments(self) -> list[Node]:
        self.need("(")
        nodes = [self.alternatives()]
        while self.take(","):
            nodes.append(self.alternatives())
        self.need(")")
        return nodes

    def call(self, name: str) -> Node:
        self.at += 1
        if name in {"CAST", "TRY_CAST"}:
            return self.cast()
        if name == "EXTRACT":
            return self.extract()
        functions.look_up(name)
        return functions.call(name, self.arguments())

    def case(self) -> Node:
        tests: list[str] = []
        results: list[Node] = []
        while self.take("WHEN"):
            tests.append(_need(self.alternatives(), Kind.BOOLEAN, where="WHEN").sql)
            self.need("THEN")
            results.append(self.alternatives())
        if not results:
            raise ExpressionError(f"expected WHEN, found {self.token}")
        branches = [f"WHEN {t} THEN {r.sql}" for t, r in zip(tests, results, strict=True)]
        if self.take("ELSE"):
            results.append(self.alternatives())
            branches.append(f"ELSE {results[-1].sql}")
        self.need("END")
        kind = common_kind(results, where="CASE")
        return Node(sql=f"CASE {' '.join(branches)} END", kind=kind)

    def cast(self) -> Node:
        self.need("(")
        node = self.alternatives()
        self.need("AS")
        target = functions.CAST_TYPES.get(self.token.word)
        if target is None:
            known = ", ".join(sorted(functions.CAST_TYPES))
            raise ExpressionError(f"CAST knows {known}, found {self.token}")
        self.at += 1
        self.need(")")
        if node.kind in {Kind.TIME, Kind.BOOLEAN}:
            raise ExpressionError(f"CAST takes numbers or text, not {node.kind}")
        # TRY: a text that is no number is a missing value of one row, never a failed batch.
        return Node(sql=f"TRY_CAST({node.sql} AS {target[0]})", kind=target[1])

    def extract(self) -> Node:
        self.need("(")
        part = self.token.word
        if part not in functions.TIME_PARTS:
            known = ", ".join(sorted(functions.TIME_PARTS))
            raise ExpressionError(f"EXTRACT knows {known}, found {self.token}")
        self.at += 1
        self.need("FROM")
        node = _need(self.alternatives(), Kind.TIME, where="EXTRACT")
        self.need(")")
        return Node(sql=f"EXTRACT({part} FROM {node.sql})", kind=Kind.INTEGER)
