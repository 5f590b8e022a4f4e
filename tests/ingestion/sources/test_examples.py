"""The sources under docs/examples and in the guides are ones that payflow takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from configuration.sources import read_source
from ingestion.sources.factory import ConsumerFactory
from simulator.config_file import parse

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*/source*.yaml"))
GUIDES = [ROOT / "docs" / "guides" / f"connect-{name}.md" for name in ("kafka", "event-hubs")]
#: whole sources in here-documents or fences, settings alone, and configurations of the simulator
_BLOCK = re.compile(r"(?:```yaml\n(.*?)```)|(?:<<'END'\n(.*?)\nEND\n)", re.DOTALL)


def _blocks(path: Path) -> list[str]:
    return [fence or here for fence, here in _BLOCK.findall(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_examples_are_sources(path: Path):
    """Each file reads as a source, and its broker's settings hold."""
    document = read_source(path.read_text(encoding="utf-8"))

    if document.broker_type == "file":
        assert document.settings == {}, "the command that reads a file names it"
    else:
        assert ConsumerFactory.validate(document.broker_type, document.settings)


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_what_guides_say_holds(path: Path):
    """Sources, settings and configurations of the simulator in the guides are accepted."""
    kinds = []
    for text in _blocks(path):
        document = yaml.safe_load(text)
        if "simulator" in document:
            kinds.append("simulator")
            assert parse(text).output.is_broker
            continue
        kinds.append("source")
        broker_type = document.get("broker_type", path.stem.removeprefix("connect-"))
        ConsumerFactory.validate(broker_type, document["settings"])

    assert sorted(kinds) == ["simulator", "source", "source"]


def test_the_emulator_has_the_hub_of_the_example():
    """Name, group and number of partitions as the guide says."""
    folder = ROOT / "docs" / "examples" / "event-hubs"
    hub = yaml.safe_load((folder / "emulator.json").read_text(encoding="utf-8"))
    (entity,) = hub["UserConfig"]["NamespaceConfig"][0]["Entities"]
    settings = read_source((folder / "source.yaml").read_text(encoding="utf-8")).settings

    assert entity["Name"] == settings["hub"]
    assert [group["Name"] for group in entity["ConsumerGroups"]] == [settings["consumer_group"]]
    assert entity["PartitionCount"] == "4"
