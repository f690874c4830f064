"""Is this machine fit for the lessons, and do its models answer as they should?

Taught in `00_start_here`; `python workbook.py check` looks at the installation before any of this can run.
Leaves out: speed.
"""

import numpy as np
import pandas as pd
import psutil

from helpers.embeddings import Embedder
from helpers.generation import Generator
from helpers.runtime import n_threads

NEEDED_GB = 2.0


def self_check(embedder: Embedder, generator: Generator) -> pd.DataFrame:
    """One row per check: what was looked at, whether it is as it should be, what was seen, what to do if not."""
    free = psutil.virtual_memory().available / 2**30
    near, far = _similarities(embedder)
    reply = _read_aloud(generator)
    rows = [
        (
            "threads for the models",
            n_threads() <= 8,
            f"{n_threads()}",
            "set OMP_NUM_THREADS to the number of real cores",
        ),
        ("free memory", free >= NEEDED_GB, f"{free:.0f} GB", "close other programs, browsers first"),
        (
            "the encoder's vectors",
            near > 0.7 > 0.3 > far,
            f"similar {near:.2f}, different {far:.2f}",
            "run python workbook.py check",
        ),
        ("the generator reads", "paris" in reply.casefold(), repr(reply), "run python workbook.py check"),
    ]
    table = pd.DataFrame(rows, columns=["check", "fine", "seen", "if not"]).set_index("check")
    table["if not"] = table["if not"].where(~table["fine"].astype(bool), "")
    table["fine"] = np.where(table["fine"], "yes", "no")
    return table


def _similarities(embedder: Embedder) -> tuple[float, float]:
    a, b, c = embedder.encode(["The kettle is leaking.", "Water drips from the kettle.", "Tomorrow is a holiday."])
    return float(a @ b), float(a @ c)


def _read_aloud(generator: Generator) -> str:
    messages = [
        {
            "role": "user",
            "content": "The museum stands in Paris. In which city does the museum stand? Answer with one word.",
        }
    ]
    return generator.generate([messages], max_new_tokens=12)[0].text
