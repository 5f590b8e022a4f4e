"""The functions an expression may call: all of them look at one transaction only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metrics.expressions.kinds import ExpressionError, Kind, Node, common_kind, number_kind

#: parts of a UTC timestamp that EXTRACT gives
TIME_PARTS = frozenset({"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "ISODOW"})

#: target of CAST -> (type for polars, kind); DECIMAL keeps 6 decimals like windowed values
CAST_TYPES: Mapping[str, tuple[str, Kind]] = {
    "BIGINT": ("BIGINT", Kind.INTEGER),
    "INTEGER": ("BIGINT", Kind.INTEGER),
    "DECIMAL": ("DECIMAL(38,6)", Kind.EXACT),
    "DOUBLE": ("DOUBLE", Kind.FLOAT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    #: smallest and largest number of arguments
    arity: tuple[int, int]
    write: Callable[[str, list[Node]], Node]


_AGGREGATES = frozenset({"AVG", "COUNT", "MAX", "MEDIAN", "MIN", "STDDEV", "SUM", "VARIANCE"})
_CLOCKS = frozenset({"CURRENT_DATE", "CURRENT_TIMESTAMP", "NOW", "TODAY"})


def look_up(name: str) -> Function:
    """The function called `name` (upper case); ExpressionError when there is none."""
    function = FUNCTIONS.get(name)
    if function is None:
        known = ", ".join(sorted(FUNCTIONS))
        if name in _AGGREGATES:
            raise ExpressionError(
                f"{name} is an aggregate, and an expression looks at one transaction: the type, "
                "group and window of a rule say how its values are added up"
            )
        if name in _CLOCKS:
            raise ExpressionError(
                f"{name} is a clock: an expression gives the same for a transaction at any time"
            )
        raise ExpressionError(f"function {name} is not allowed; allowed are {known}")
    return function


def call(name: str, arguments: list[Node]) -> Node:
    """Write a call of function `name`; ExpressionError when it cannot take the arguments."""
    function = look_up(name)
    low, high = function.arity
    if not low <= len(arguments) <= high:
        wanted = str(low) if low == high else f"{low} to {high}"
        raise ExpressionError(f"{name} takes {wanted} arguments, not {len(arguments)}")
    return function.write(name, arguments)


def _numbers(name: str, arguments: list[Node]) -> None:
    for argument in arguments:
        if not argument.kind.is_number:
            raise ExpressionError(f"{name} takes numbers, not {argument.kind}")


def _texts(name: str, arguments: list[Node]) -> None:
    for argument in arguments:
        if argument.kind is not Kind.TEXT:
            raise ExpressionError(f"{name} takes text, not {argument.kind}")


def _whole(name: str, argument: Node, *, high: int) -> str:
    """A length or number of digits: a whole number written in the text."""
    literal = argument.literal
    if literal is None or not literal.isdigit() or int(literal) > high:
        raise ExpressionError(f"{name} takes a whole number from 0 to {high} there")
    return literal


def _joined(name: str, arguments: list[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def _absolute(name: str, arguments: list[Node]) -> Node:
    _numbers(name, arguments)
    return Node(sql=_joined(name, [arguments[0].exact()]), kind=number_kind(*arguments))


def _round(name: str, arguments: list[Node]) -> Node:
    _numbers(name, arguments[:1])
    digits = _whole(name, arguments[1], high=6) if len(arguments) == 2 else "0"
    return Node(sql=_joined(name, [arguments[0].exact(), digits]), kind=number_kind(arguments[0]))


def _whole_part(name: str, arguments: list[Node]) -> Node:
    _numbers(name, arguments)
    return Node(sql=_joined(name, [arguments[0].exact()]), kind=number_kind(*arguments))


def _extreme(name: str, arguments: list[Node]) -> Node:
    _numbers(name, arguments)
    return Node(
        sql=_joined(name, [node.exact() for node in arguments]), kind=number_kind(*arguments)
    )


def _coalesce(name: str, arguments: list[Node]) -> Node:
    kind = common_kind(arguments, where=name)
    return Node(sql=_joined(name, [node.sql for node in arguments]), kind=kind)


def _null_if(name: str, arguments: list[Node]) -> Node:
    common_kind(arguments, where=name)
    return Node(sql=_joined(name, [node.sql for node in arguments]), kind=arguments[0].kind)


def _length(name: str, arguments: list[Node]) -> Node:
    _texts(name, arguments)
    return Node(sql=_joined(name, [arguments[0].sql]), kind=Kind.INTEGER)


def _changed_text(name: str, arguments: list[Node]) -> Node:
    _texts(name, arguments)
    return Node(sql=_joined(name, [arguments[0].sql]), kind=Kind.TEXT)


def _cut(name: str, arguments: list[Node]) -> Node:
    _texts(name, arguments[:1])
    bounds = [_whole(name, argument, high=256) for argument in arguments[1:]]
    if name == "SUBSTR" and bounds[0] == "0":
        raise ExpressionError("SUBSTR counts characters from 1")
    return Node(sql=_joined(name, [arguments[0].sql, *bounds]), kind=Kind.TEXT)


def _test_text(name: str, arguments: list[Node]) -> Node:
    _texts(name, arguments)
    return Node(sql=_joined(name, [node.sql for node in arguments]), kind=Kind.BOOLEAN)


FUNCTIONS: Mapping[str, Function] = {
    "ABS": Function(arity=(1, 1), write=_absolute),
    "CEIL": Function(arity=(1, 1), write=_whole_part),
    "COALESCE": Function(arity=(2, 8), write=_coalesce),
    "ENDS_WITH": Function(arity=(2, 2), write=_test_text),
    "FLOOR": Function(arity=(1, 1), write=_whole_part),
    "GREATEST": Function(arity=(2, 8), write=_extreme),
    "LEAST": Function(arity=(2, 8), write=_extreme),
    "LEFT": Function(arity=(2, 2), write=_cut),
    "LENGTH": Function(arity=(1, 1), write=_length),
    "LOWER": Function(arity=(1, 1), write=_changed_text),
    "NULLIF": Function(arity=(2, 2), write=_null_if),
    "RIGHT": Function(arity=(2, 2), write=_cut),
    "ROUND": Function(arity=(1, 2), write=_round),
    "STARTS_WITH": Function(arity=(2, 2), write=_test_text),
    "SUBSTR": Function(arity=(2, 3), write=_cut),
    "UPPER": Function(arity=(1, 1), write=_changed_text),
}
