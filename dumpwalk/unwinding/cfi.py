"""Call frame information: one FDE with its CIE, run up to one address, as a rule.

Sources: DWARF 5, 6.4; Linux Standard Base 5, 10.6 (.eh_frame, augmentations); AADWARF64 (DW_CFA_AARCH64_negate_ra_state).
Only the FDE around a pc is read, since a runtime has 30,000 of them and a stack needs five. pyelftools parses a section as
a whole (0.3 s for libc) and serves the tests as second reader.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory
from dumpwalk.unwinding import rules
from dumpwalk.unwinding.leb128 import Cursor
from dumpwalk.unwinding.registers import RegisterFile
from dumpwalk.unwinding.rules import Rule, Save

_OMIT = 0xFF
_ABSPTR, _PCREL, _DATAREL = 0x00, 0x10, 0x30
_FORMS = {0x00: (8, False), 0x02: (2, False), 0x03: (4, False), 0x04: (8, False),
          0x0A: (2, True), 0x0B: (4, True), 0x0C: (8, True)}  # fmt: skip
_WORD = 0xFFFFFFFFFFFFFFFF


def encoded(cursor: Cursor, encoding: int, field_at: int, data_base: int = 0) -> int:
    """A pointer in one of the DW_EH_PE encodings; `field_at` is the cursor's address. Raises ValueError."""
    form = encoding & 0x0F
    if form == 0x01:
        value = cursor.uleb()
    elif form == 0x09:
        value = cursor.sleb()
    elif form in _FORMS:
        size, signed = _FORMS[form]
        value = cursor.signed(size) if signed else cursor.unsigned(size)
    else:
        raise ValueError(f"pointer encoding {encoding:#x}")
    application = encoding & 0x70
    if application == _PCREL:
        value += field_at
    elif application == _DATAREL:
        value += data_base
    elif application != _ABSPTR:
        raise ValueError(f"pointer encoding {encoding:#x}")
    return value & _WORD


class Cie(NamedTuple):
    code_factor: int
    data_factor: int
    return_register: int
    pointer_encoding: int
    augmented: bool
    """FDEs have augmentation data."""
    signal: bool
    program: bytes


class Fde(NamedTuple):
    start: int
    end: int
    cie: Cie
    program: bytes


class EntryReader:
    """Reads entries of .eh_frame at their addresses; each CIE once. Answers None for what is damaged or not captured."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._cies: Dict[int, Optional[Cie]] = {}

    def fde_at(self, address: int) -> Optional[Fde]:
        body = self._body(address)
        if body is None:
            return None
        at, data = body
        distance = int.from_bytes(data[:4], "little")
        cie = self._cie(at - distance) if distance else None
        if cie is None:
            return None
        cursor = Cursor(data, 4)
        try:
            start = encoded(cursor, cie.pointer_encoding, at + cursor.at)
            size = encoded(cursor, cie.pointer_encoding & 0x0F, 0)
            if cie.augmented:
                cursor.block()
        except ValueError:
            return None
        if not 0 < size <= limits.FUNCTION_BYTES:
            return None
        return Fde(start, start + size, cie, data[cursor.at :])

    def _body(self, address: int) -> Optional[Tuple[int, bytes]]:
        """(address behind the length, the entry's bytes from there)."""
        head = self._memory.read(address, 4)
        length = int.from_bytes(head, "little") if head else 0
        if not 8 <= length <= limits.CFI_ENTRY_BYTES:  # 0 ends the section; 0xFFFFFFFF would be 64-bit DWARF
            return None
        data = self._memory.read(address + 4, length)
        return (address + 4, data) if data else None

    def _cie(self, address: int) -> Optional[Cie]:
        if address not in self._cies:
            if len(self._cies) > 10_000:
                self._cies.clear()
            try:
                body = self._body(address)
                self._cies[address] = self._parse_cie(body[1]) if body and body[1][:4] == b"\0\0\0\0" else None
            except ValueError:
                self._cies[address] = None
        return self._cies[address]

    def _parse_cie(self, data: bytes) -> Cie:
        cursor = Cursor(data, 4)
        version = cursor.unsigned(1)
        augmentation = cursor.string()
        if version not in (1, 3) or augmentation[:1] not in (b"", b"z"):
            raise ValueError("a form of CIE that .eh_frame does not have")
        code_factor, data_factor = cursor.uleb(), cursor.sleb()
        return_register = cursor.unsigned(1) if version == 1 else cursor.uleb()
        encoding, signal = _ABSPTR, False
        if augmentation:
            extra = Cursor(cursor.block())
            for letter in augmentation[1:]:
                if letter == 0x52:  # R
                    encoding = extra.unsigned(1)
                elif letter == 0x50:  # P: the personality routine, which unwinding does not need
                    kind = extra.unsigned(1)
                    encoded(extra, kind & 0x0F, 0)
                elif letter == 0x4C:  # L
                    extra.unsigned(1)
                elif letter == 0x53:  # S
                    signal = True
                elif letter != 0x42:  # B: return addresses are signed with the B key, which changes nothing here
                    break
        if encoding == _OMIT or not code_factor:
            raise ValueError("a CIE without pointers")
        return Cie(code_factor, data_factor, return_register, encoding, bool(augmentation), signal, data[cursor.at :])


class _Row:
    """The state of a CFI program."""

    def __init__(self) -> None:
        self.cfa: Tuple[int, int] = (-1, 0)
        self.expression = b""
        self.saves: Dict[int, Save] = {}

    def copy(self) -> _Row:
        other = _Row()
        other.cfa, other.expression, other.saves = self.cfa, self.expression, dict(self.saves)
        return other


def rule_at(fde: Fde, pc: int, registers: RegisterFile) -> Optional[Rule]:
    """The row of `pc`. None when the program is damaged, longer than limits.CFI_STEPS, or uses what is not known here."""
    if not fde.start <= pc < fde.end:
        return None
    try:
        row, _ = _run(fde.cie.program, fde.cie, _Row(), _Row(), fde.start, _WORD)
        row, _ = _run(fde.program, fde.cie, row, row, fde.start, pc)
    except (ValueError, IndexError):
        return None
    register, offset = row.cfa
    if not row.expression and not 0 <= register < len(registers.names):
        return None
    back = fde.cie.return_register
    saved = row.saves.get(back)
    outermost = saved is not None and saved.kind == rules.LOST
    if registers.link is None and back != registers.pc:
        return None
    saves: List[Save] = []
    for number, save in row.saves.items():
        if number == registers.sp and not fde.cie.signal:
            continue  # the CFA is the caller's sp
        saves.append(save)
    own_sp = next((s for s in saves if s.register == registers.sp), None)
    near, others = rules.split([s for s in saves if s is not own_sp], len(registers.names))
    if fde.cie.signal and registers.link is not None and back == registers.link:
        return (
            None  # the interrupted pc is not in the frame record that such an FDE describes: read from the signal frame
        )
    return Rule("cfi", max(register, 0), offset, near, others, row.expression, fde.cie.signal, outermost, own_sp)


def _run(program: bytes, cie: Cie, row: _Row, initial: _Row, start: int, target: int) -> Tuple[_Row, int]:
    """Run until the location passes `target`. `initial` is what restore goes back to. Raises ValueError, IndexError."""
    row = row.copy()
    cursor = Cursor(program)
    location = start
    states: List[_Row] = []
    factor = cie.data_factor
    for _ in range(limits.CFI_STEPS):
        if cursor.at >= len(program):
            return row, location
        code = cursor.unsigned(1)
        high, low = code & 0xC0, code & 0x3F
        if high == 0x40 or code in (0x01, 0x02, 0x03, 0x04):  # advance_loc, set_loc, advance_loc1, 2, 4
            if high == 0x40:
                location += low * cie.code_factor
            elif code == 0x01:
                raise ValueError("set_loc, which no compiler writes into .eh_frame")
            else:
                location += cursor.unsigned(1 << code - 2) * cie.code_factor
            if location > target:
                return row, location
        elif high == 0x80:
            row.saves[low] = Save(low, rules.AT_CFA, cursor.uleb() * factor)
        elif high == 0xC0:
            _restore(row, initial, low)
        elif code == 0x0A:
            if len(states) >= 64:
                raise ValueError("states remembered without end")
            states.append(row.copy())
        elif code == 0x0B:
            row = states.pop()
        else:
            _instruction(code, cursor, row, initial, factor)
    raise ValueError("a program without end")


def _restore(row: _Row, initial: _Row, register: int) -> None:
    if register in initial.saves:
        row.saves[register] = initial.saves[register]
    else:
        row.saves.pop(register, None)


def _instruction(code: int, cursor: Cursor, row: _Row, initial: _Row, factor: int) -> None:
    """Those that take no part in the flow. Raises ValueError for an unknown one."""
    if code in (
        0x00,
        0x2D,
    ):  # nop, AARCH64_negate_ra_state: signed return addresses are stripped wherever they are read
        return
    if code in (0x05, 0x11, 0x14, 0x15):  # offset_extended, _sf, val_offset, _sf
        register = cursor.uleb()
        offset = (cursor.sleb() if code in (0x11, 0x15) else cursor.uleb()) * factor
        row.saves[register] = Save(register, rules.AT_CFA if code in (0x05, 0x11) else rules.IS_CFA, offset)
    elif code == 0x2F:  # GNU_negative_offset_extended
        register = cursor.uleb()
        row.saves[register] = Save(register, rules.AT_CFA, -cursor.uleb() * factor)
    elif code == 0x06:  # restore_extended
        _restore(row, initial, cursor.uleb())
    elif code == 0x07:  # undefined
        register = cursor.uleb()
        row.saves[register] = Save(register, rules.LOST)
    elif code == 0x08:  # same_value
        row.saves.pop(cursor.uleb(), None)
    elif code == 0x09:  # register
        register, source = cursor.uleb(), cursor.uleb()
        row.saves[register] = Save(register, rules.IN_REGISTER, base=source)
    elif code in (0x0C, 0x12):  # def_cfa, _sf
        register = cursor.uleb()
        row.cfa = (register, cursor.uleb() if code == 0x0C else cursor.sleb() * factor)
        row.expression = b""
    elif code == 0x0D:  # def_cfa_register
        row.cfa, row.expression = (cursor.uleb(), row.cfa[1]), b""
    elif code in (0x0E, 0x13):  # def_cfa_offset, _sf
        row.cfa = (row.cfa[0], cursor.uleb() if code == 0x0E else cursor.sleb() * factor)
    elif code == 0x0F:  # def_cfa_expression
        row.expression = cursor.block()
    elif code in (0x10, 0x16):  # expression, val_expression
        register = cursor.uleb()
        kind = rules.AT_EXPRESSION if code == 0x10 else rules.IS_EXPRESSION
        row.saves[register] = Save(register, kind, expression=cursor.block())
    elif code == 0x2E:  # GNU_args_size
        cursor.uleb()
    else:
        raise ValueError(f"instruction {code:#x}")
