"""Ranges of options as type hints: a configuration is checked against those of whatever gets its values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Limit:
    """What a value must also be, beside its type: in words that follow it, and as a test."""

    words: str
    holds: Callable[[Any], bool]


Positive = Annotated[int, Limit("of 1 or more", lambda n: n >= 1)]
Natural = Annotated[int, Limit("of 0 or more", lambda n: n >= 0)]
Seed = Annotated[int, Limit("from 0 to 4294967295", lambda n: 0 <= n < 2**32)]  # what NumPy takes
Odd = Annotated[int, Limit("of 1 or more that is odd", lambda n: n >= 1 and n % 2 == 1)]
NonNegative = Annotated[float, Limit("of 0 or more", lambda n: 0 <= n < math.inf)]
AboveZero = Annotated[float, Limit("above 0", lambda n: 0 < n < math.inf)]
Fraction = Annotated[float, Limit("from 0 to 1", lambda n: 0 <= n <= 1)]
InnerFraction = Annotated[float, Limit("between 0 and 1", lambda n: 0 < n < 1)]
Text = Annotated[str, Limit("of one character or more", bool)]
FileName = Annotated[
    str, Limit("of letters, digits, _, - and ., 200 at most", lambda s: bool(re.fullmatch(r"\w[\w.-]{0,199}", s)))
]
Label = Annotated[
    str,
    Limit("with a letter or digit, 200 bytes at most", lambda s: bool(re.search(r"\w", s)) and len(s.encode()) < 201),
]  # part of a name of files
Names = Annotated[list[str], Limit("of one or more", bool)]
Workers = Annotated[int, Limit("from 0 to 512", lambda n: 0 <= n <= 512)]  # processes or threads of one program
