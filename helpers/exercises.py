"""The exercises of the lessons: task, graded hints, a solution that runs, and a test that says what is off.

Shown by `lesson.exercise`, checked by `lesson.check`. The solutions are ordinary functions, so the workbook's own tests run them.
They stand by subject in `exercises_reading`, `exercises_vectors`, `exercises_tuning`, `exercises_positions`, `exercises_comparison` and
`exercises_choice`, and are joined here. Leaves out: exercises without a checkable answer (the lessons ask those in prose).
"""

from helpers.exercise import Exercise
from helpers.exercises_choice import CHOICE
from helpers.exercises_comparison import COMPARISON
from helpers.exercises_positions import POSITIONS
from helpers.exercises_reading import READING
from helpers.exercises_tuning import TUNING
from helpers.exercises_vectors import VECTORS

_ALL = READING | VECTORS | TUNING | POSITIONS | COMPARISON | CHOICE
EXERCISES: dict[str, Exercise] = dict(sorted(_ALL.items()))  # in the order of the lessons
