"""What is an exercise, and how is an attempt read that may be anything at all?

The record, and the small checks that the exercises of all lessons share: none of them raises, whatever a learner gives. Leaves out:
the exercises themselves (`exercises`), and how they are shown (`lesson`).
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Exercise:
    """`wrong_with(attempt)` returns what is off, or an empty text when the attempt is right."""

    task: str
    hints: tuple[str, ...]
    solution: Callable
    wrong_with: Callable[[object], str]
    afterwards: str


def as_number(attempt: object) -> float | None:
    """The attempt as a number (Python's, NumPy's or a tensor of one); `None` for anything else."""
    if isinstance(attempt, str | bytes | bool | np.bool_):
        return None
    try:
        number = float(attempt)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return None if np.isnan(number) else number


def as_list(attempt: object) -> list | None:
    """A list, tuple, array or tensor as a list; `None` for anything else, texts too."""
    if hasattr(attempt, "tolist") and not isinstance(attempt, type):
        attempt = attempt.tolist()
    return list(attempt) if isinstance(attempt, Sequence) and not isinstance(attempt, str | bytes) else None


def as_name(text: str) -> str:
    """One spelling for capitals, hyphens and blanks.

    >>> as_name(" Closed-Book ")
    'closed book'
    """
    return " ".join(text.casefold().replace("-", " ").split())


def cannot_be_called(attempt: object, *parameters: str) -> str:
    """Why the attempt is no function of these parameters; an empty text if it is one."""
    wanted = f"a function of {', '.join(parameters)}"
    if not callable(attempt):
        return f"expected {wanted}, got {short(attempt)}: give its name, without calling it"
    try:
        inspect.signature(attempt).bind(*parameters)
    except TypeError as error:
        return f"expected {wanted}, but yours can't be called so: {error}"
    except ValueError:  # some built-in functions have no signature
        return ""
    return ""


def nothing_in(found: object, wanted: str) -> str:
    """What to say if a function returned nothing; an empty text if it returned something."""
    nothing = found is None or found is ...
    return f"your function returns nothing yet: put {wanted} after `return`" if nothing else ""


def short(thing: object) -> str:
    """What the thing looks like, in one line of at most 80 characters."""
    text = " ".join(repr(thing).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
