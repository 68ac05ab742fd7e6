"""What a pickle would take of the memory and of the stack, told from its instructions before any of them is followed.

An unpickler believes what it reads: nine bytes make it fill gigabytes with places of its memo, a key of tuples in
tuples ends the process where its hash is taken, and keys whose hashes are alike take it hours.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from mmap import mmap

PER_BYTE = 32
"""Bytes of memory that a byte of a pickle is taken for: small numbers and short texts are objects of their own."""

_PER_HOLDER = 256  # bytes, on top: a dictionary, set or tensor comes of one to five bytes
_STOP = pickle.STOP[0]
_DEEPEST = 500  # no data nest so; the hash of tuples takes the stack of C, which ends at some ten thousand
_MOST_HASHED = 10**6  # values in one another that the hash of a tuple comes by, one that is there twice twice
# Multiples of 2^61 - 1 hash alike, and only eight of them have 8 bytes. Larger integers are states of random numbers.
_USUAL = 8  # bytes
_LARGEST = 255  # bytes; Python neither reads nor writes those of over 4,300 digits
_MOST_LARGE = 1000

_Value = tuple[int, int]
_LEAF = (0, 1)


class UnpackingError(ValueError):
    """A pickle that asks for far more than it holds."""


def check_pickle(data: bytes | mmap, most: int, start: int = 0) -> tuple[int, set[str]]:
    """Look through the pickle at `start`, which is not unpickled.

    Args:
        most: bytes that it may take of the memory.

    Returns:
        Where it ends, and the names of the functions and classes that it asks for; not those that it makes up of
        texts (from protocol 4 on), which torch does not read.

    Raises:
        UnpackingError: it would take more, or it has what data have not: values nested deep, sets, large integers.
        ValueError: it is cut short or damaged.
    """
    reading = _Reading(data, most, start)
    try:
        reading.to_end()
    except (IndexError, KeyError):
        raise ValueError("it is cut short or damaged") from None
    return reading.place, reading.names


class _Reading:
    """Follows the instructions with, in the place of each value, how deep it is, and how many values its hash takes.

    Only tuples need both exactly, and they do not change once they are made.
    """

    def __init__(self, data: bytes | mmap, most: int, start: int) -> None:
        self.data, self.most, self.start, self.place = data, most, start, start
        self.names: set[str] = set()
        self._stack: list[_Value] = []
        self._marks: list[int] = []
        self._memo: dict[int, _Value] = {}
        self._holders = self._large = 0

    def to_end(self) -> None:
        data, place, push = self.data, self.start, self._stack.append
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
        self.names.add(lines.decode(errors="replace").strip().replace("\n", "."))
        self._stack.append(_LEAF)

    def integer(self, size: int) -> None:
        """One of so many bytes."""
        if size > _LARGEST:
            raise UnpackingError(f"it has an integer of over {_LARGEST} bytes")
        self._large += size > _USUAL
        if self._large > _MOST_LARGE:
            raise UnpackingError(f"it has over {_MOST_LARGE:,} integers of more than {_USUAL} bytes")
        self._stack.append(_LEAF)

    def refuse_set(self) -> None:
        # The hash of a frozen set comes by each value in it as often as it is there, and equal ones are compared so.
        raise UnpackingError("it has a set in it")

    def make(self, count: int, to_mark: bool, holders: int, of: Callable[[list[_Value]], _Value]) -> None:
        """One value of the topmost: of `count`, and, `to_mark`, of all above the last mark; as so many new holders."""
        begin = (self._marks.pop() if to_mark else len(self._stack)) - count
        if begin < 0:
            raise IndexError
        self._spend(holders)
        made = of(self._stack[begin:])
        if made[0] > _DEEPEST:
            raise UnpackingError(f"it nests deeper than {_DEEPEST}")
        if made[1] > _MOST_HASHED:
            raise UnpackingError(f"it has over {_MOST_HASHED:,} values in a tuple and in those that are in it")
        self._stack[begin:] = [made]

    def _spend(self, holders: int) -> None:
        self._holders += holders
        taken = PER_BYTE * (self.place - self.start) + _PER_HOLDER * self._holders
        if taken > self.most:
            raise UnpackingError(f"it would take {taken / 2**30:.3g} GiB of memory or more")


# What a value is that is made of others, and one that others are put into.


def _of_hashed(parts: list[_Value]) -> _Value:
    return 1 + max((depth for depth, _ in parts), default=0), 1 + sum(hashed for _, hashed in parts)


def _of_unhashed(parts: list[_Value]) -> _Value:
    return 1 + max((depth for depth, _ in parts), default=0), 1


def _filled(parts: list[_Value]) -> _Value:
    return max(parts[0][0], _of_unhashed(parts[1:])[0]), parts[0][1]


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
    "INT": lambda reading, line: reading.integer(_size_of_text(line)),
    "LONG": lambda reading, line: reading.integer(_size_of_text(line)),
    "LONG1": lambda reading, counted: reading.integer(len(counted) - 1),
    "LONG4": lambda reading, counted: reading.integer(len(counted) - 4),
} | dict.fromkeys(("EMPTY_SET", "ADDITEMS", "FROZENSET"), lambda reading, _: reading.refuse_set())
_UNHASHED = ("LIST", "DICT", "EMPTY_LIST", "EMPTY_DICT")
_FILLING = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD")
_HOLDERS = ("EMPTY_LIST", "EMPTY_DICT")
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
    if not taken and code.name not in _HOLDERS:
        return None
    to_mark = pickletools.markobject in taken
    count = taken.index(pickletools.markobject) if to_mark else len(taken)
    filling = code.name in _FILLING
    # A function may give one of its arguments, such as a tuple.
    of = _filled if filling else _of_unhashed if code.name in _UNHASHED else _of_hashed
    return lambda reading, _: reading.make(count, to_mark, not filling, of)


_INSTRUCTIONS = {ord(code.code): _instruction(code) for code in pickletools.opcodes}
