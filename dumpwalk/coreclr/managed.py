"""Managed code and objects of a process by name: the one door to the readers of code, types and metadata.

Nothing is read before it is asked for, and everything once. No method raises on damaged or missing memory: what cannot be
told is an `Unknown`, which is falsy and says why. Look return addresses up one byte before.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from typing import Callable, Iterator, List, Optional, Tuple, TypeVar, Union

from dumpwalk.core.memory import for_search
from dumpwalk.core.process import Process
from dumpwalk.coreclr.code.method_desc import MethodName, MethodNames
from dumpwalk.coreclr.code.methods import Code, Methods
from dumpwalk.coreclr.code.roots import Ranges, find_ranges
from dumpwalk.coreclr.contract import Contract, ContractResult, read_contract
from dumpwalk.coreclr.fcalls import FCalls
from dumpwalk.coreclr.frame_chain import FrameChains
from dumpwalk.coreclr.managed_layout import layout_for, verified
from dumpwalk.coreclr.metadata.files import NamedFiles, file_part
from dumpwalk.coreclr.metadata.modules import RuntimeModule
from dumpwalk.coreclr.metadata.schema import TYPE_DEF
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.coreclr.types.fields import FieldDesc, Fields
from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.types.names import TypeNames
from dumpwalk.coreclr.types.objects import Array, Objects, Value
from dumpwalk.coreclr.types.statics import address_of, is_reference, thread_address_of
from dumpwalk.coreclr.words import NotRead, Unknown, Words

T = TypeVar("T")


class ManagedView:
    """`files` gives metadata of assemblies that the dump lacks; `contract` one that was read already."""

    def __init__(
        self,
        process: Process,
        runtime: RuntimeInfo,
        files: Optional[NamedFiles] = None,
        contract: Optional[ContractResult] = None,
    ) -> None:
        self._process = process
        self._runtime = runtime
        told = contract or read_contract(process, runtime)
        self.contract: Optional[Contract] = told.contract
        self.words = Words(process.memory)
        self.layout = layout_for(runtime.major, self.contract)
        self.files = files or NamedFiles(process.files_named, partial(file_part, process))
        self.types = TypeTable(self.words, self.layout, self.files)
        self.field_lists = Fields(self.types)
        self.names = TypeNames(self.types, self.field_lists)
        self.objects = Objects(self.types, self.names, self.field_lists)
        self.method_names = MethodNames(self.types, self.names)
        self.frame_chains = FrameChains(process, runtime, self, told)
        self.fcalls = FCalls(process, runtime, self)
        self._code: Union[Methods, Unknown, None] = None
        self._library: Optional[RuntimeModule] = None
        self.verified = verified(runtime.major) and process.arch.name == "x86_64" and process.os == "linux"
        """Whether names of this version, machine and system were compared with another reader's on real cores."""

    @cached_property
    def unrecorded(self) -> ManagedView:
        """The same view for questions about many words of which few are what is asked for: no recording keeps what it reads.
        What is believed of its answers is asked of this view once more (core/recording.py)."""
        memory = for_search(self._process.memory)
        if memory is self._process.memory:
            return self
        told = ContractResult(self.contract, "")
        return ManagedView(replace(self._process, memory=memory), self._runtime, self.files, told)

    # Code

    def code(self) -> Union[Methods, Unknown]:
        """The look-up of code addresses; Unknown where the runtime's code ranges were not found."""
        if self._code is None:
            try:
                ranges, _ = self._ranges()
                entry = 8 if self._process.arch.name == "aarch64" else 12
                self._code = Methods(ranges, self.types, self.method_names, entry)
            except NotRead as error:
                self._code = Unknown(error.why, error.absent)
        return self._code

    def _ranges(self) -> Tuple[Ranges, str]:
        return find_ranges(self._process, self._runtime, self.contract, self.layout, self.words)

    def code_at(self, address: int) -> Code:
        """What lies at a code address: jitted, precompiled, a stub, or nothing of the runtime's."""
        methods = self.code()
        return Code(None, None, methods) if isinstance(methods, Unknown) else methods.at(address)

    def method_at(self, address: int) -> Union[MethodName, Unknown]:
        """The method whose code holds an address, a funclet's too."""
        return self.code_at(address).method

    def method_name(self, method_desc: int) -> Union[MethodName, Unknown]:
        return self._answer(lambda: self.method_names.name(method_desc))

    # Types

    def type_name(self, handle: int) -> Union[str, Unknown]:
        """A method table's (or TypeHandle's) name, with arguments."""
        return self._answer(lambda: self.names.name(handle))

    def type_of(self, obj: int) -> Union[str, Unknown]:
        """The type's name of an object."""
        return self._answer(lambda: self.names.name(self.objects.method_table(obj)))

    def definition_of(self, obj: int) -> Union[str, Unknown]:
        """The type's name of an object, without arguments."""
        return self._answer(lambda: self.names.definition(self.objects.method_table(obj)))

    def method_table_of(self, obj: int) -> Union[int, Unknown]:
        """The method table of an object, when it checks out as one."""
        return self._answer(lambda: self.objects.method_table(obj))

    def is_object(self, address: int) -> bool:
        """Whether the first word leads to a method table that checks out. False also where that is not in the dump."""
        return not isinstance(self.method_table_of(address), Unknown)

    def parents(self, method_table: int) -> Union[List[int], Unknown]:
        """From the parent to System.Object."""
        return self._answer(lambda: self.types.parents(method_table))

    def is_a(self, method_table: int, definition: str) -> Union[bool, Unknown]:
        """Whether a type, or one it derives from, has this definition's name."""

        def look() -> bool:
            chain = [method_table, *self.types.parents(method_table)]
            return any(self.names.definition(table) == definition for table in chain)

        return self._answer(look)

    def module_name(self, module: int) -> Union[str, Unknown]:
        """The file name of the assembly of a Module."""

        def look() -> str:
            found = self.types.module_at(module).name
            if found is None:
                raise NotRead(f"0x{module:x} is no module whose file is known")
            return found

        return self._answer(look)

    def type_def_name(self, module: int, rid: int) -> Union[str, Unknown]:
        """The name that a module's metadata has for a TypeDef."""
        return self._answer(lambda: self.types.module_at(module).metadata().type_name(rid))

    def find_type(self, name: str, module: Optional[str] = None) -> Union[int, Unknown]:
        """The method table of `Namespace.Outer+Inner` (generic: of the definition), if the process has loaded it.

        Looked for in the core library and every module met so far; `module` (a simple name) restricts that.
        """
        return self._answer(lambda: self._find_type(name, module))

    def _find_type(self, name: str, wanted: Optional[str]) -> int:
        why: List[str] = []
        for module in self.modules():
            file = module.name or ""
            if wanted is not None and wanted not in (file, file.rsplit(".", 1)[0]):
                continue
            try:
                rid = module.metadata().find_type(name)
            except NotRead as error:
                if not error.absent:
                    why.append(error.why)
                continue
            table = module.lookup(TYPE_DEF, rid)
            if not table:
                raise NotRead(f"{name} is not loaded in the process", absent=True)
            self.types.eeclass(table)
            return table
        raise NotRead(why[0] if why else f"no module that was looked at defines {name}", absent=not why)

    def modules(self) -> List[RuntimeModule]:
        """The core library first, then modules met so far."""
        if self._library is None:
            self._library = self._core_library()
        library = self._library
        others = [m for m in self.types.modules() if library is None or m.address != library.address]
        return ([library] if library is not None else []) + others

    def _core_library(self) -> Optional[RuntimeModule]:
        """The module of System.Object: the contract's method table of it, else the root of any method's type."""
        told = self.contract.addresses.get("ObjectMethodTable") if self.contract is not None else None
        tables: List[int] = []
        if told:
            try:
                tables.append(self.words.pointer(told, "System.Object"))
            except NotRead:
                pass
        for table in chain(tables, self._tables_on_stacks()):
            try:
                root = [table, *self.types.parents(table)][-1]
                self.types.eeclass(root)
                if self.types.table(root).parent == 0 and not self.types.table(root).has_components:
                    return self.types.module(root)
            except NotRead:
                continue
        return None

    def _tables_on_stacks(self) -> Iterator[int]:
        """Method tables of managed methods that threads are in."""
        for thread in self._process.threads:
            for frame in thread.frames():
                if frame.module is None:
                    found = self.method_at(frame.pc - (1 if frame.index else 0))
                    if isinstance(found, MethodName) and found.kind == "il":
                        yield found.method_table

    # Fields and objects

    def field_offset(self, method_table: int, name: str) -> Union[int, Unknown]:
        """Bytes from an object's address to its field of this name, an inherited one too."""
        return self._answer(lambda: self.field_lists.instance_offset(method_table, name))

    def field(self, obj: int, name: str) -> Union[Value, Unknown]:
        """An instance field of an object."""
        return self._answer(lambda: self.objects.field(obj, name))

    def struct_field(self, method_table: int, address: int, name: str) -> Union[Value, Unknown]:
        """A field of a struct at an address (a Value's method_table and address)."""
        return self._answer(lambda: self.objects.struct_field(method_table, address, name))

    def struct_fields(self, method_table: int, address: int) -> List[Tuple[str, Union[Value, Unknown]]]:
        """(name, value) of a struct's fields; empty where its type's list cannot be read."""
        found = self._answer(lambda: [f for f in self.field_lists.own(method_table) if not f.static])
        if isinstance(found, Unknown):
            return []
        return [(f.name, self.struct_field(method_table, address, f.name)) for f in found]

    def module_of(self, method_table: int) -> Union[str, Unknown]:
        """The file name of the assembly that defines a type."""

        def look() -> str:
            name = self.types.module(method_table).name
            if name is None:
                raise NotRead(f"the module of 0x{method_table:x} has no name in the dump")
            return name

        return self._answer(look)

    def fields(self, obj: int) -> Union[List[Tuple[FieldDesc, Union[Value, Unknown]]], Unknown]:
        """Every instance field of an object, inherited ones first."""
        return self._answer(lambda: self.objects.values(obj))

    def static(self, type_or_table: Union[str, int], name: str) -> Union[Value, Unknown]:
        """A static field, by the type's full name or its method table."""

        def look() -> Value:
            field, table = self._static_field(type_or_table, name)
            address = address_of(self.types, table, field)
            return self._static_value(field, address)

        return self._answer(look)

    def thread_static(self, type_or_table: Union[str, int], name: str, thread: int) -> Union[Value, Unknown]:
        """A thread's value of a [ThreadStatic] field; `thread` is the runtime's Thread (managed_threads.py)."""

        def look() -> Value:
            field, table = self._static_field(type_or_table, name)
            return self._static_value(field, thread_address_of(self.types, table, field, thread))

        return self._answer(look)

    def _static_field(self, type_or_table: Union[str, int], name: str) -> Tuple[FieldDesc, int]:
        table = self._find_type(type_or_table, None) if isinstance(type_or_table, str) else type_or_table
        field = next((f for f in self.field_lists.own(table) if f.name == name), None)
        if field is None or not field.static:
            raise NotRead(f"the type has no static field {name}", absent=True)
        return field, table

    def _static_value(self, field: FieldDesc, address: int) -> Value:
        found = self.objects.value(field, address)
        if found.element_type == 0x11 and is_reference(field) and not field.rva:
            box = self.words.pointer(address, field.name)
            table = self.objects.method_table(box)
            return Value(None, box + 8, max(0, self.types.table(table).base_size - 16), 0x11, found.type_name, table)
        return found

    def string(self, obj: int) -> Union[str, Unknown]:
        return self._answer(lambda: self.objects.string(obj))

    def array(self, obj: int) -> Union[Array, Unknown]:
        return self._answer(lambda: self.objects.array(obj))

    def items(self, array: Array, most: int = 1024) -> List[Union[Value, Unknown]]:
        """The first elements of an array, in memory's order."""
        return [
            self._answer(lambda at=index: self.objects.element(array, at))  # type: ignore[misc]
            for index in range(min(array.length, most))
        ]

    def header(self, obj: int) -> Union[int, Unknown]:
        """The object's header word (at -4): thin lock, hash code or sync block index."""
        return self._answer(lambda: self.words.u32(obj - 4, "the object's header"))

    def size_of(self, obj: int) -> Union[int, Unknown]:
        """Bytes that the object takes in the heap."""
        return self._answer(lambda: self.objects.size(obj))

    @property
    def notes(self) -> List[str]:
        """Sentences: what was found by its form and not where this version's rows say."""
        return self.types.learned.notes

    @staticmethod
    def _answer(look: Callable[[], T]) -> Union[T, Unknown]:
        try:
            return look()
        except NotRead as error:
            return Unknown(error.why, error.absent)
