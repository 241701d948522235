"""Metadata tables of real assemblies against a second reader of them (dnfile): type names, nesting, methods, owners, fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, NamedTuple

import dnfile
import pytest

from dumpwalk.coreclr.metadata.names import Metadata
from dumpwalk.coreclr.metadata.pe import PeImage
from dumpwalk.coreclr.metadata.schema import FIELD, METHOD_DEF, NESTED_CLASS, TYPE_DEF
from dumpwalk.coreclr.words import NotRead, Words
from dumpwalk.images.image_memory import FileRange, ImageMemory
from fixtures import packages

pytestmark = pytest.mark.images

PACKAGES = ("dotnet-3.1.23-linux-x64", "dotnet-8.0.4-linux-x64", "azmcp-0.5.0-linux-x64")
SMALL = ("System.Collections.dll", "System.Linq.dll", "System.Threading.Channels.dll")
ASSEMBLIES = [(key, name) for key in PACKAGES for name in SMALL]
WIDE = ("dotnet-8.0.4-linux-x64", "System.Net.Http.dll")
"""Its names fill more than 64 KiB: indexes into them have four bytes."""
_BASE = 0x7F0000000000
_EVERY = 3
"""Of the rows of methods each so many-th is compared; of the types all."""


class Both(NamedTuple):
    ours: Metadata
    theirs: Any


@pytest.fixture(scope="module", params=[*ASSEMBLIES, WIDE], ids=lambda pair: "-".join(pair))
def both(request) -> Both:
    key, name = request.param
    path = next(packages.runtime_folder(key).rglob(name))
    tables = dnfile.dnPE(str(path), clr_lazy_load=True).net.mdtables
    return Both(metadata_of(path), tables)


def metadata_of(path: Path) -> Metadata:
    size = path.stat().st_size
    words = Words(ImageMemory(str(path), [FileRange(_BASE, 0, size, False)]), "assembly's file")
    root, length = PeImage(words, _BASE, size, mapped=False).metadata()
    return Metadata(words, root, length, str(path))


def enclosing(theirs: Any) -> Dict[int, int]:
    return {row.NestedClass.row_index: row.EnclosingClass.row_index for row in theirs.NestedClass}


def spelled(theirs: Any, nested: Dict[int, int], rid: int) -> str:
    row = theirs.TypeDef.get_with_row_index(rid)
    if rid in nested:
        return f"{spelled(theirs, nested, nested[rid])}+{row.TypeName}"
    return f"{row.TypeNamespace}.{row.TypeName}" if str(row.TypeNamespace) else str(row.TypeName)


def test_the_tables_have_as_many_rows(both):
    ours = {t: both.ours.tables.count(t) for t in (TYPE_DEF, METHOD_DEF, FIELD, NESTED_CLASS)}
    theirs = both.theirs
    assert ours == {
        TYPE_DEF: theirs.TypeDef.num_rows,
        METHOD_DEF: theirs.MethodDef.num_rows,
        FIELD: theirs.Field.num_rows,
        NESTED_CLASS: theirs.NestedClass.num_rows,
    }
    for table, count in ours.items():
        for rid in (0, count + 1):
            with pytest.raises(NotRead):
                both.ours.tables.row(table, rid)


def test_every_type_has_its_namespace_and_outer_types(both):
    nested = enclosing(both.theirs)
    rids = range(1, both.theirs.TypeDef.num_rows + 1)
    expected = {rid: spelled(both.theirs, nested, rid) for rid in rids}
    assert {rid: both.ours.type_name(rid) for rid in rids} == expected
    assert {rid: both.ours.enclosing(rid) for rid in rids} == {rid: nested.get(rid) for rid in rids}
    assert sum("+" in name for name in expected.values()) > 10 < sum("." in name for name in expected.values())
    for rid, name in expected.items():
        if list(expected.values()).count(name) == 1:
            assert both.ours.find_type(name) == rid


def test_methods_have_their_names_and_owners(both):
    theirs = both.theirs
    compared = 0
    for owner, row in enumerate(theirs.TypeDef, 1):
        for index in row.MethodList:
            rid = index.row_index
            assert both.ours.owner(rid) == owner and both.ours.owns(owner, rid), (owner, rid)
            assert not both.ours.owns(owner + 1 if owner < theirs.TypeDef.num_rows else owner - 1, rid)
            if rid % _EVERY == 0:
                assert both.ours.method_name(rid) == str(theirs.MethodDef.get_with_row_index(rid).Name)
            compared += 1
    assert compared == theirs.MethodDef.num_rows > 200


def test_fields_are_those_of_their_types(both):
    for owner, row in enumerate(both.theirs.TypeDef, 1):
        expected = [(i.row_index, str(i.row.Name)) for i in row.FieldList]
        assert [(field.rid, field.name) for field in both.ours.fields(owner)] == expected, owner


def test_signatures_are_the_same_bytes(both):
    for rid in range(1, both.theirs.MethodDef.num_rows, 10 * _EVERY):
        row = both.theirs.MethodDef.get_with_row_index(rid)
        assert both.ours.method_signature(rid) == bytes(row.Signature.value), rid


@pytest.mark.parametrize("key", PACKAGES)
def test_local_functions_have_the_compilers_names(key):
    """`<Outer>g__Inner|4_0`; mcs compiles none, so the framework's own stand for them."""
    path = next(packages.runtime_folder(key).rglob("System.Threading.Channels.dll"))
    ours, tables = metadata_of(path), dnfile.dnPE(str(path), clr_lazy_load=True).net.mdtables
    expected = {rid: str(row.Name) for rid, row in enumerate(tables.MethodDef, 1) if ">g__" in str(row.Name)}
    assert expected and {rid: ours.method_name(rid) for rid in expected} == expected
