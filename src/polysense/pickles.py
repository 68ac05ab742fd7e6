"""What a pickle would take of the memory and of the stack, told from its instructions before any of them is followed.

An unpickler believes what it reads: nine bytes make it fill gigabytes with places of its memo, a key of tuples in
tuples ends the process where its hash is taken, and keys whose hashes are alike take it hours.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import NamedTuple

PER_BYTE = 32
"""Bytes of memory that a byte of a pickle is taken for: small numbers and short texts are objects of their own."""

_PER_HOLDER = 256  # bytes, on top: a dictionary, set or tensor comes of one to five bytes
_PER_COPIED = 128  # of each value that a function is given, which it may copy: in a dictionary, with its place there
_STOP = pickle.STOP[0]
_DEEPEST = 500  # no data nest so; the hash of tuples takes the stack of C, which ends at some ten thousand
_MOST_HASHED = 10**6  # values in one another that the hash of a tuple comes by, one that is there twice twice
# Multiples of 2^61 - 1 hash alike, and only eight of them have 8 bytes. Larger integers are states of random numbers.
_USUAL = 8  # bytes
_LARGEST = 255  # bytes; Python neither reads nor writes those of over 4,300 digits
_MOST_LARGE = 1000

_TOO_DEEP = f"it nests deeper than {_DEEPEST}"


class UnpackingError(ValueError):
    """A pickle that asks for far more than it holds."""


class Call(NamedTuple):
    """Of a function or a class, by a pickle.

    Attributes:
        name: with its module; empty where it is told otherwise than by a pickle's own texts, as from protocol 4 on.
            `.__setstate__` behind it: of what it made.
        given: "nothing"; "plain", values and tuples of them; "values", also what calls made; "pairs", one list of lists
            alone; "dictionary"; "others", with lists and dictionaries; or "unknown", other than a tuple of arguments.
    """

    name: str
    given: str


def check_pickle(data: bytes | mmap, most: int, start: int = 0) -> tuple[int, set[Call]]:
    """Look through the pickle at `start`, which is not unpickled.

    Args:
        most: bytes that it may take of the memory.

    Returns:
        Where it ends, and what it calls.

    Raises:
        UnpackingError: it would take more, or it has what data have not: values nested deep, sets, large integers.
            What a function makes of other than its arguments' items, e.g. as many bytes as a number says, is not known
            here.
        ValueError: it is cut short or damaged.
    """
    reading = _Reading(data, most, start)
    try:
        reading.to_end()
    except (IndexError, KeyError):
        raise ValueError("it is cut short or damaged") from None
    return reading.place, reading.calls


@dataclass(slots=True, eq=False)
class _Value:
    """What stands for a value.

    Attributes:
        depth: how deep others are in it; exact for tuples, which do not change once they are made.
        hashed: how many values its hash takes; the same holds.
        plain: whether it is a value, or a tuple of these and of such tuples.
        lists: whether it is a list of lists alone.
        kind: "value"; "name", of a function or class; "tuple", of these, of tuples and of what calls made; "others", a
            tuple with lists in it; "list"; "dictionary"; or "made", by a call.
        name: of the function or class, also that made it.
        held: the values in a tuple that have a size.
        size: of a list, a dictionary or what a call made: how many values are in it by now.
    """

    depth: int = 0
    hashed: int = 1
    plain: bool = False
    lists: bool = False
    kind: str = "value"
    name: str = ""
    held: tuple[_Value, ...] = ()
    size: int = 0

    def copied(self) -> int:
        """How many values are copied of it at most by a function that goes through it and the lists in it."""
        return self.hashed + self.size + sum(value.size for value in self.held)


_LEAF = _Value(plain=True)
_EMPTY = _Value(plain=True, kind="tuple")
_CHANGING = ("list", "dictionary", "made")


class _Reading:
    """Follows the instructions with, in the place of each value, what is to be known of it."""

    def __init__(self, data: bytes | mmap, most: int, start: int) -> None:
        self.data, self.most, self.start, self.place = data, most, start, start
        self.calls: set[Call] = set()
        self._stack: list[_Value] = []
        self._marks: list[int] = []
        self._memo: dict[int, _Value] = {}
        self._taken = self._large = 0

    def to_end(self) -> None:
        data, place, push = self.data, self.start, self.push
        while (code := data[place]) != _STOP:
            size, counted, lines, follow = _INSTRUCTIONS[code]
            begin = place + 1
            place = begin + size
            if counted:  # where it leads out of the data, the next instruction is not found
                place += _number(data[begin:place])
            elif lines:
                place = self._behind(lines, place)
            if follow is None:
                push(_LEAF)
            else:
                self.place = place
                follow(self, data[begin:place])
        self.place = place + 1
        self._spend(0)

    def _behind(self, lines: int, place: int) -> int:
        for _ in range(lines):
            place = self.data.find(b"\n", place) + 1
            if not place:
                raise IndexError
        return place

    def push(self, value: _Value) -> None:
        self._stack.append(value)

    def put(self, index: int | None) -> None:
        """Keep the topmost; None: as the next."""
        index = len(self._memo) if index is None else index
        # An unpickler makes room for as many values as the number says; those that are written count from 0.
        if not 0 <= index <= self.place - self.start:
            raise UnpackingError(f"it numbers a value {index}, and has not as many")
        self._memo[index] = self._stack[-1]

    def get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def pop_mark(self) -> None:
        del self._stack[self._marks.pop() :]

    def duplicate(self) -> None:
        self._stack.append(self._stack[-1])

    def name(self, lines: bytes) -> None:
        self.push(_Value(kind="name", name=lines.decode(errors="replace").strip().replace("\n", ".")))

    def integer(self, size: int) -> None:
        """One of so many bytes."""
        if size > _LARGEST:
            raise UnpackingError(f"it has an integer of over {_LARGEST} bytes")
        self._large += size > _USUAL
        if self._large > _MOST_LARGE:
            raise UnpackingError(f"it has over {_MOST_LARGE:,} integers of more than {_USUAL} bytes")
        self.push(_LEAF)

    def refuse_set(self) -> None:
        # The hash of a frozen set comes by each value in it as often as it is there, and equal ones are compared so.
        raise UnpackingError("it has a set in it")

    def take(self, count: int, to_mark: bool) -> list[_Value]:
        """The topmost `count`, and, `to_mark`, all above the last mark."""
        begin = (self._marks.pop() if to_mark else len(self._stack)) - count
        if begin < 0:
            raise IndexError
        parts = self._stack[begin:]
        del self._stack[begin:]
        return parts

    def make_tuple(self, parts: list[_Value]) -> None:
        self._spend(_PER_HOLDER)
        kind = "others" if any(part.kind in ("list", "dictionary", "others") for part in parts) else "tuple"
        held = tuple(part for part in parts if part.kind in _CHANGING)
        plain = all(part.plain for part in parts)
        self.push(_Value(_above(parts), _hashed(parts), plain, kind=kind, held=held))

    def make(self, parts: list[_Value], kind: str) -> None:
        """A list, a dictionary, or what comes of a call that is not told by `call`."""
        made = kind == "made"
        copied = sum(part.copied() for part in parts) if made else 0
        self._spend(_PER_HOLDER + _PER_COPIED * copied)
        # A function may give one of its arguments, such as a tuple.
        hashed, lists = _hashed(parts) if made else 1, kind == "list" and _are_lists(parts)
        self.push(_Value(_above(parts), hashed, lists=lists, kind=kind, size=len(parts) + copied))

    def call(self, parts: list[_Value]) -> None:
        """Of the first, with a tuple of arguments, and maybe named ones."""
        function, arguments, *named = parts
        if named or arguments.kind not in ("tuple", "others"):
            given = "unknown"
        elif arguments.plain:
            given = "nothing" if arguments.hashed == 1 else "plain"
        elif arguments.kind == "tuple":
            given = "values"
        else:
            given = "pairs" if arguments.hashed == 2 and all(part.lists for part in arguments.held) else "others"
        self.calls.add(Call(function.name if function.kind == "name" else "", given))
        self.make(parts[1:], "made")
        self._stack[-1].name = function.name

    def fill(self, parts: list[_Value]) -> None:
        """Into the first, which stays where it is."""
        target = parts[0]
        if target.kind not in _CHANGING:
            raise IndexError
        target.depth = max(target.depth, _above(parts[1:]))
        target.size += len(parts) - 1
        target.lists = target.lists and _are_lists(parts[1:])
        if target.depth > _DEEPEST:
            raise UnpackingError(_TOO_DEEP)
        self.push(target)

    def set_state(self, parts: list[_Value]) -> None:
        target, state = parts
        given = state.kind if state.kind == "dictionary" else "others"
        self.calls.add(Call(f"{target.name}.__setstate__", given))
        self._spend(_PER_COPIED * state.copied())
        self.fill(parts)

    def _spend(self, taken: int) -> None:
        self._taken += taken
        taken = PER_BYTE * (self.place - self.start) + self._taken
        if taken > self.most:
            raise UnpackingError(f"it would take {taken / 2**30:.3g} GiB of memory or more")


def _above(parts: list[_Value]) -> int:
    """How deep a value is with these in it."""
    depth = 1 + max((part.depth for part in parts), default=0)
    if depth > _DEEPEST:
        raise UnpackingError(_TOO_DEEP)
    return depth


def _are_lists(parts: list[_Value]) -> bool:
    return all(part.kind == "list" for part in parts)


def _hashed(parts: list[_Value]) -> int:
    """How many values the hash of a tuple of these takes."""
    hashed = 1 + sum(part.hashed for part in parts)
    if hashed > _MOST_HASHED:
        raise UnpackingError(f"it has over {_MOST_HASHED:,} values in a tuple and in those that are in it")
    return hashed


_Follow = Callable[[_Reading, bytes], None]


def _number(argument: bytes) -> int:
    return int.from_bytes(argument, "little")


def _size_of_text(line: bytes) -> int:
    """About the bytes of the integer that a line says; unpicklers read hexadecimal ones, too."""
    length = len(line) - len("0x\n")
    return -(-length // 2 if b"x" in line.lower() else -length * 5 // 12)


_FOLLOWED: dict[str, _Follow] = {
    "PROTO": lambda _reading, _: None,
    "FRAME": lambda _reading, _: None,
    "PUT": lambda reading, digits: reading.put(int(digits)),
    "BINPUT": lambda reading, number: reading.put(_number(number)),
    "LONG_BINPUT": lambda reading, number: reading.put(_number(number)),
    "MEMOIZE": lambda reading, _: reading.put(None),
    "GET": lambda reading, digits: reading.get(int(digits)),
    "BINGET": lambda reading, number: reading.get(_number(number)),
    "LONG_BINGET": lambda reading, number: reading.get(_number(number)),
    "MARK": lambda reading, _: reading.mark(),
    "POP": lambda reading, _: reading.pop(),
    "POP_MARK": lambda reading, _: reading.pop_mark(),
    "DUP": lambda reading, _: reading.duplicate(),
    "GLOBAL": lambda reading, lines: reading.name(lines),
    "EMPTY_TUPLE": lambda reading, _: reading.push(_EMPTY),
    "EMPTY_LIST": lambda reading, _: reading.make([], "list"),
    "EMPTY_DICT": lambda reading, _: reading.make([], "dictionary"),
    "INT": lambda reading, line: reading.integer(_size_of_text(line)),
    "LONG": lambda reading, line: reading.integer(_size_of_text(line)),
    "LONG1": lambda reading, counted: reading.integer(len(counted) - 1),
    "LONG4": lambda reading, counted: reading.integer(len(counted) - 4),
    **dict.fromkeys(("EMPTY_SET", "ADDITEMS", "FROZENSET"), lambda reading, _: reading.refuse_set()),
}
_PARTS: dict[str, Callable[[_Reading, list[_Value]], None]] = {
    **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), _Reading.make_tuple),
    "LIST": lambda reading, parts: reading.make(parts, "list"),
    "DICT": lambda reading, parts: reading.make(parts, "dictionary"),
    **dict.fromkeys(("REDUCE", "NEWOBJ", "NEWOBJ_EX"), _Reading.call),
    **dict.fromkeys(("APPEND", "APPENDS", "SETITEM", "SETITEMS"), _Reading.fill),
    "BUILD": _Reading.set_state,
}
_LINES = ("GLOBAL", "INST")  # whose argument has two lines
_COUNTED = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


def _instruction(code: pickletools.OpcodeInfo) -> tuple[int, bool, int, _Follow | None]:
    """Bytes of its argument, whether they are the length of another that follows, the argument's lines, and what it
    does; None where it adds a value that holds no others."""
    size = 0 if code.arg is None else code.arg.n
    lines = 0 if size != pickletools.UP_TO_NEWLINE else 2 if code.name in _LINES else 1
    counted = size in _COUNTED
    return _COUNTED.get(size, 0 if lines else size), counted, lines, _followed(code)


def _followed(code: pickletools.OpcodeInfo) -> _Follow | None:
    if code.name in _FOLLOWED:
        return _FOLLOWED[code.name]
    taken = code.stack_before
    if not taken:
        return None
    to_mark = pickletools.markobject in taken
    count = taken.index(pickletools.markobject) if to_mark else len(taken)
    follow = _PARTS.get(code.name, lambda reading, parts: reading.make(parts, "made"))
    return lambda reading, _: follow(reading, reading.take(count, to_mark))


_INSTRUCTIONS = {ord(code.code): _instruction(code) for code in pickletools.opcodes}
