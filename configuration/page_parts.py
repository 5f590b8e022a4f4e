"""What apps above add to the page of a version: configuration cannot know them.

They register at `ready()`; a builder returns None where its part has nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from django.http import HttpRequest

from configuration.models import Activation, ConfigurationVersion
from payflow.lib.pages.detail import Button, Card

Place = Literal["main", "side"]
CardBuilder = Callable[[HttpRequest, ConfigurationVersion], Card | None]
ButtonBuilder = Callable[[HttpRequest, ConfigurationVersion], Button | None]
ActivationCardBuilder = Callable[[HttpRequest, Activation], Card | None]

_cards: Final[dict[str, list[tuple[int, CardBuilder]]]] = {"main": [], "side": []}
_buttons: Final[list[tuple[int, ButtonBuilder]]] = []
_warnings: Final[list[Callable[[ConfigurationVersion], str]]] = []
_activation_cards: Final[list[ActivationCardBuilder]] = []


def add_card(place: Place, order: int, build: CardBuilder) -> None:
    """A card of the wide (main) or narrow (side) column; low orders come first."""
    _cards[place].append((order, build))


def add_button(order: int, build: ButtonBuilder) -> None:
    """A button in the head of the page."""
    _buttons.append((order, build))


def add_warning(build: Callable[[ConfigurationVersion], str]) -> None:
    """A sentence above the button that makes a draft live."""
    _warnings.append(build)


def warnings(version: ConfigurationVersion) -> list[str]:
    """What others have to say against making a draft live."""
    return [said for build in _warnings if (said := build(version))]


def add_activation_card(build: ActivationCardBuilder) -> None:
    """A card above the facts on the page of an activation."""
    _activation_cards.append(build)


def activation_cards(request: HttpRequest, activation: Activation) -> list[Card]:
    """What others have to say about an activation, in the order of registration."""
    built = (build(request, activation) for build in _activation_cards)
    return [card for card in built if card is not None]


def cards(
    request: HttpRequest, version: ConfigurationVersion, place: Place
) -> list[tuple[int, Card]]:
    """(order, card) of what others have to say about a version, in order."""
    built = ((order, build(request, version)) for order, build in sorted(_cards[place], key=_order))
    return [(order, card) for order, card in built if card is not None]


def buttons(request: HttpRequest, version: ConfigurationVersion) -> list[tuple[int, Button]]:
    """(order, button) of what can be done with a version elsewhere, in order."""
    built = ((order, build(request, version)) for order, build in sorted(_buttons, key=_order))
    return [(order, button) for order, button in built if button is not None]


def _order(entry: tuple[int, object]) -> int:
    return entry[0]
