"""Scalars of the syntax tree -> Python values of a field's type, and back to text."""

import math
import os
import re
import struct
from collections.abc import Callable

from tltpy.spec.schema import FieldInfo
from tltpy.spec.tree import FILE, Scalar, quoted

FLOAT32_OVERFLOW = (2 - 2**-24) * 2.0**127  # halfway between the greatest float32 and the next power

_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)", re.ASCII)
_FLOAT = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?", re.ASCII)
_NONFINITE = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_MEANT_BOOLS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)


class MismatchError(Exception):
    """A value that the field does not take; `hints` as in a Problem."""

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message)
        self.message = message
        self.hints = hints


def read(info: FieldInfo, scalar: Scalar, *, expand: bool = True) -> int | float | bool | str:
    """MismatchError where the value does not fit. `expand`: environment variables in strings become their values."""
    if not expand and info.kind == "text" and scalar.kind == "text":
        return scalar.text
    return _READERS[info.kind](info, scalar)


def expected(info: FieldInfo) -> str:
    """In words, what a field takes."""
    if info.kind == "enum":
        return choice(list(info.choices))
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "text": "text in quotes"}
    return words.get(info.kind, "a section")


def choice(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def shortest(value: float, single: bool) -> str:
    """The fewest digits that read as the same number (`single`: the same float32)."""
    if math.isinf(value) or math.isnan(value):
        return str(value)
    if single:
        wanted = struct.pack("<f", value)
        for digits in range(1, 10):
            text = f"{value:.{digits}g}"
            if abs(float(text)) < FLOAT32_OVERFLOW and struct.pack("<f", float(text)) == wanted:
                return repr(float(text)).removesuffix(".0")
    return repr(value).removesuffix(".0")


def float32(value: float) -> float:
    """The nearest number that a float of 32 bits holds."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def literal(text: str) -> str:
    """A string in quotes that `read` turns into `text` again."""
    return quoted(text.replace("$", "$$"))


def _mismatch(info: FieldInfo, scalar: Scalar, *hints: str) -> MismatchError:
    if not hints and scalar.kind == "text" and info.kind != "text" and _fits(info, scalar.text):
        hints = (f"write it without quotes: {scalar.text}",)
    return MismatchError(f'"{info.name}" must be {expected(info)}, not {scalar}', *hints)


def _fits(info: FieldInfo, text: str) -> bool:
    try:
        read(info, Scalar(FILE, "word" if text[:1].isalpha() else "number", text))
    except MismatchError:
        return False
    return True


def _read_int(info: FieldInfo, scalar: Scalar) -> int:
    number = None if scalar.kind != "number" else _whole(scalar.text)
    if number is None:
        raise _mismatch(info, scalar)
    if not info.low <= number <= info.high:
        raise MismatchError(f'"{info.name}" must be from {info.low} to {info.high}, not {scalar}')
    return number


def _whole(text: str) -> int | None:
    """14, 0x0e, 016, 14.0 and 1.4e1 alike; None for what is no whole number."""
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("-")
        if len(digits) > 30:
            return 2**200
        base = 16 if digits[1:2] in ("x", "X") else 8 if len(digits) > 1 and digits[0] == "0" else 10
        return int(digits, base) * (-1 if text.startswith("-") else 1)
    if _FLOAT.fullmatch(text):
        # 08 and 09 are refused: neither octal nor meant as decimal for sure
        number = float(text.rstrip("fF"))
        decimal = any(mark in text for mark in ".eE")
        return int(number) if decimal and number.is_integer() and abs(number) < 2**64 else None
    return None


def _read_float(info: FieldInfo, scalar: Scalar) -> float:
    text = scalar.text
    number = None
    if scalar.kind == "word":
        number = _NONFINITE.get(text.lower().lstrip("-"))
        if number is not None and text.startswith("-"):
            number = -number
    if number is None and scalar.kind == "number":
        if _FLOAT.fullmatch(text):
            number = float(text.rstrip("fF"))
        elif text.lower().lstrip("-").startswith("0x") and _INTEGER.fullmatch(text):
            number = float(_whole(text) or 0)
        if number is not None and abs(number) >= (FLOAT32_OVERFLOW if info.single else math.inf):
            bits = 32 if info.single else 64
            raise MismatchError(f'"{info.name}" must be a number that a {bits}-bit float holds, not {scalar}')
    if number is None:
        raise _mismatch(info, scalar)
    return number


def _read_bool(info: FieldInfo, scalar: Scalar) -> bool:
    word = scalar.text.lower()
    if scalar.kind == "text" or word not in _BOOLS:
        meant = _MEANT_BOOLS.get(word)
        raise _mismatch(info, scalar, *([f"write {meant}"] if meant else []))
    return _BOOLS[word]


def _read_text(info: FieldInfo, scalar: Scalar) -> str:
    if scalar.kind != "text":
        raise _mismatch(info, scalar, f"write {quoted(scalar.text)}")
    if "$" not in scalar.text:
        return scalar.text
    missing = []

    def value(match: "re.Match[str]") -> str:
        name = match[2] or match[3]
        if name and name not in os.environ:
            missing.append(name)
        return os.environ.get(name, "") if name else "$"

    text = _VARIABLE.sub(value, scalar.text)
    if missing:
        name = missing[0]
        hints = (f"export {name}=..., or write $$ for a plain dollar sign",)
        raise MismatchError(f'the environment variable {name} in "{info.name}" is not set', *hints)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MismatchError(f'the environment variables in "{info.name}" hold bytes that are not UTF-8') from None
    return text


def _read_enum(info: FieldInfo, scalar: Scalar) -> int:
    if scalar.kind == "word" and scalar.text in info.choices:
        return info.choices[scalar.text]
    if scalar.kind == "number":
        number = _whole(scalar.text)
        if number in info.choices.values():
            return int(number or 0)
    if scalar.kind == "word" and scalar.text.upper() in info.choices:
        raise _mismatch(info, scalar, f"write {scalar.text.upper()}")
    raise _mismatch(info, scalar)


_READERS: dict[str, Callable[[FieldInfo, Scalar], int | float | bool | str]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "text": _read_text,
    "enum": _read_enum,
}
