"""The report as JSON: the bytes, the way back, the schema."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any, Dict

import jsonschema
import pytest

from dumpwalk.report import json_format, schema
from dumpwalk.report.model import FailedCore, Report
from tests.report_samples import SAMPLES, crowd, hang_self

FAILED = FailedCore("broken.core", "broken.core is not a core: it is a text file.", 1, "not-a-core")


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_there_and_back(name: str) -> None:
    report = SAMPLES[name]()
    text = json_format.dumps(report)
    assert json_format.from_dict(json.loads(text)) == report
    assert json.loads(text) == json_format.to_dict(report)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_same_report_gives_the_same_bytes_and_only_ascii(name: str) -> None:
    text = json_format.dumps(SAMPLES[name]())
    assert text == json_format.dumps(SAMPLES[name]())
    assert text.isascii()
    assert set(text) - {"\n"} == {c for c in text if c.isprintable()}


def test_key_names_of_the_contract() -> None:
    value = json.loads(json_format.dumps(hang_self()))
    assert list(value)[:3] == ["schema_version", "tool", "verdict"]
    edge = value["wait_graph"]["edges"][0]
    assert "from" in edge and "to" in edge and "source" not in edge and "target" not in edge
    verdict = value["verdict"]
    assert verdict["summary"] == verdict["sentence"]
    said = f"dumpwalk-verdict: {verdict['status']} {verdict['kind']}: {verdict['summary']} [sig {verdict['signature']}]"
    assert verdict["line"] == said
    assert value["dump"]["sha256"] is None and "sha256" in value["dump"]


def test_several_cores_are_an_array_in_the_order_given() -> None:
    value = json.loads(json_format.dumps([hang_self(), FAILED, SAMPLES["healthy"]()]))
    assert [entry.get("path", entry.get("dump", {}).get("path")) for entry in value] == [
        "core.13767", "broken.core", "core.13767"
    ]  # fmt: skip
    assert value[1] == {
        "path": "broken.core", "error": FAILED.error, "exit_code": 1, "error_kind": "not-a-core",
    }  # fmt: skip
    assert json.loads(json_format.dumps([])) == []
    assert [json_format.entry_from_dict(entry) for entry in value] == [hang_self(), FAILED, SAMPLES["healthy"]()]


def test_equal_frames_are_one_object_after_reading() -> None:
    report = json_format.from_dict(json.loads(json_format.dumps(crowd(500, 10))))
    frames = [frame for thread in report.threads for frame in thread.frames]
    assert len({id(frame) for frame in frames}) == len(set(frames)) < len(frames) / 10


def test_a_thread_whose_name_looks_like_the_frames_key() -> None:
    report = hang_self()
    odd = dataclasses.replace(report.threads[0], name='", "frames": null, "x": "')
    report = dataclasses.replace(report, threads=(odd, *report.threads[1:]))
    assert json_format.from_dict(json.loads(json_format.dumps(report))) == report


def test_keys_that_are_not_known_are_ignored() -> None:
    value = json.loads(json_format.dumps(hang_self()))
    value["later"] = {"a": 1}
    value["threads"][0]["later"] = 1
    value["threads"][0]["frames"][0]["later"] = 1
    value["verdict"]["later"] = None
    assert json_format.from_dict(value) == hang_self()


def test_a_key_with_a_default_may_lack() -> None:
    value = json.loads(json_format.dumps(hang_self()))
    del value["redacted"]
    del value["dispatch_cache"]["violation_count"]
    assert json_format.from_dict(value) == hang_self()


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (("verdict", "exit_code"), "10"),
        (("verdict", "status"), None),
        (("threads",), {}),
        (("threads", 0, "frames", 0, "pc"), 5),
        (("threads", 0, "frames"), None),
        (("dump", "truncated"), 1),
        (("locks", 0, "owner"), []),
        (("wait_graph", "edges", 0, "from"), 7),
    ],
)
def test_a_wrong_type_is_refused_with_its_place(path: Any, new: Any) -> None:
    value = json.loads(json_format.dumps(hang_self()))
    at: Any = value
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = new
    with pytest.raises(json_format.MalformedReport, match=str(path[-1]) if isinstance(path[-1], str) else "report"):
        json_format.from_dict(value)


def test_a_required_key_that_lacks_is_named() -> None:
    value = json.loads(json_format.dumps(hang_self()))
    del value["verdict"]["line"]
    with pytest.raises(json_format.MalformedReport, match=r"report\.verdict\.line: absent"):
        json_format.from_dict(value)


# --- the schema


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    value = json.loads(schema.text())
    jsonschema.Draft202012Validator.check_schema(value)
    return jsonschema.Draft202012Validator(value)


def test_the_shipped_schema_is_the_model_s() -> None:
    assert schema.text() == schema.dumps(), "run `python -m dumpwalk.report.schema`"


def test_every_key_is_described() -> None:
    assert schema.undescribed() == set()


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"crowd"}))
def test_samples_are_valid(name: str, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(json.loads(json_format.dumps(SAMPLES[name]())))


def test_an_array_with_a_failed_core_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(json.loads(json_format.dumps([hang_self(), FAILED])))


@pytest.fixture(scope="module")
def valid() -> Dict[str, Any]:
    value: Dict[str, Any] = json.loads(json_format.dumps(SAMPLES["deadlock-2"]()))
    return value


def _broken(value: Dict[str, Any], change: Any) -> Dict[str, Any]:
    broken = copy.deepcopy(value)
    change(broken)
    return broken


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.pop("coverage"),
        lambda v: v["verdict"].update(status="maybe"),
        lambda v: v["verdict"].pop("signature"),
        lambda v: v["locks"][0].update(address="0xABC"),
        lambda v: v["locks"][0].update(address=4711),
        lambda v: v["threads"][0].update(tid="12"),
        lambda v: v["threads"][0].pop("wait"),
        lambda v: v.update(schema_version=2),
    ],
)
def test_what_breaks_the_contract_is_refused(
    change: Any, valid: Dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    assert not validator.is_valid(_broken(valid, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["findings"][0].update(kind="a-kind-of-later"),
        lambda v: v["locks"][0].update(kind="a-lock-of-later", more={}),
        lambda v: v["threads"][0].update(state="parked"),
        lambda v: v.update(added=1),
    ],
)
def test_what_the_contract_may_grow_by_is_valid(
    change: Any, valid: Dict[str, Any], validator: jsonschema.Draft202012Validator
) -> None:
    assert validator.is_valid(_broken(valid, change))


def test_report_is_a_dataclass_of_plain_values_only() -> None:
    """Whatever is added to the model must have a way into the JSON and back."""
    for kind in (Report, FailedCore):
        assert schema.keys(kind)


def test_the_reference_in_the_documentation_is_the_model_s() -> None:
    document = schema.FILE.parents[2] / "docs" / "json.md"
    _, generated = document.read_text(encoding="utf-8").split(schema.MARKER)
    assert generated.strip() == schema.tables().strip(), "run `python -m dumpwalk.report.schema`"
