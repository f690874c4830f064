"""Can you tell what training brings, and what it costs? The exercises of `04_fine_tuning_classifiers` and `05_fine_tuning_a_chatbot`.

Leaves out: anything that needs a model or a tokenizer; tokens, replies and secrets are made up here.
"""

from helpers.exercise import Exercise, as_list, as_name, as_number, cannot_be_called, nothing_in, short
from helpers.scoring import find_tokens

_FROZEN = " on frozen embeddings"
_RUNGS = {  # what to say to those who stop there
    "majority class": "that is the floor: it reads no text, so beating it shows that something was learned, not that tuning was needed",
    "word list": "that one learns from no labels; which rung learns from the same ones, with the same encoder?",
    f"nearest neighbours{_FROZEN}": "the right encoder and the right labels, but it only looks labels up; which rung learns weights from them?",
    f"logistic regression{_FROZEN}": "",
    "prompted model": "that one needs hardly any labels; which rung learns from the same ones, with the same encoder?",
}
_SENTENCES = (  # word ids, tags
    ([None, 0, 1, 1, None], [3, 0]),
    ([None, 0, 0, 1, 2, 2, None], [5, 5, 5]),
    ([None, 0, 2, None], [1, 7, 4]),  # a word of blanks has no token
    ([], []),
)
_REPLIES = (  # reply, its secret, whether it leaks
    ("The code is 480617.", "480617", True),
    ("It is 14806179.", "480617", False),
    ("BLUE HERON, of course", "blue heron", True),
    ("Orlanda has 480617.", "Orla", False),
)


def rung_to_beat() -> str:
    """The same encoder and the same labels: what is above it comes from changing the encoder's weights."""
    return "logistic regression on frozen embeddings"


def _wrong_rung_to_beat(attempt: object) -> str:
    if not isinstance(attempt, str):
        return f"expected the name of a rung, got {short(attempt)}"
    said = {as_name(rung).removesuffix(_FROZEN): answer for rung, answer in _RUNGS.items()}
    name = as_name(attempt).removesuffix(_FROZEN)
    return said.get(name, f"the rungs are: {', '.join(_RUNGS)}")


def calibration_error_of_one_bin() -> float:
    """How far being sure is from being right, in the only bin that there is."""
    return abs(84 / 100 - 0.97)


def _wrong_calibration_error_of_one_bin(attempt: object) -> str:
    error = as_number(attempt)
    if error is None:
        return f"expected a number, got {short(attempt)}"
    right = calibration_error_of_one_bin()
    if abs(error - right) < 0.001:
        return ""
    if abs(error + right) < 0.001:
        return "an error has no sign: give the size of the gap"
    if abs(error) > 1:
        return "it lies between 0 and 1: write shares, not per cents"
    if abs(error - 0.16) < 0.001 or abs(error - 0.03) < 0.001:
        return "that is the distance of one of the two from 1; how far are they from each other?"
    return "how far is the share of right answers from the mean confidence?"


def align_tags(word_ids: list[int | None], tags: list[int]) -> list[int]:
    """A word's tag on its first token; -100, which the loss ignores, on all other tokens."""
    targets, last = [], None
    for word in word_ids:
        targets.append(-100 if word is None or word == last else tags[word])
        last = word
    return targets


def _wrong_align_tags(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "word_ids", "tags"):
        return problem
    for word_ids, tags in _SENTENCES:
        found = attempt(list(word_ids), list(tags))
        if problem := nothing_in(found, "the list of targets") or _wrong_targets(found, word_ids, tags):
            return problem
    return ""


def _wrong_targets(found: object, word_ids: list[int | None], tags: list[int]) -> str:
    """The first token whose target is off, and what it is in its word."""
    given, targets, expected = f"for word_ids={word_ids}, tags={tags}", as_list(found), align_tags(word_ids, tags)
    if targets is None or len(targets) != len(expected):
        return f"{given} expected a list of {len(expected)} numbers, one a token, got {short(found)}"
    for i, (target, right) in enumerate(zip(targets, expected, strict=True)):
        if as_number(target) != right:
            begins = f"begins word {word_ids[i]}" if right != -100 else f"only goes on with word {word_ids[i]}"
            place = "belongs to no word" if word_ids[i] is None else begins
            return f"{given} token {i} {place}: it should get {right}, got {short(target)}"
    return ""


def n_weights_of_lora() -> int:
    """Two thin matrices, 576 x 8 and 8 x 1536: 1.9 % of the 576 * 1536 weights of the full one."""
    return 8 * (576 + 1536)


def _wrong_n_weights_of_lora(attempt: object) -> str:
    n = as_number(attempt)
    if n is None:
        return f"expected a number, got {short(attempt)}"
    if n == n_weights_of_lora():
        return ""
    if n == 576 * 1536:
        return "that is the full matrix, which LoRA leaves as it is; what is trained beside it?"
    if n in (8 * 576, 8 * 1536):
        return "that is one of the two thin matrices; add the other"
    if n == 8 * 576 * 1536:
        return "the thin matrices stand side by side: add their weights, don't multiply them"
    if 0 < n < 3:
        return "that looks like the share; give the number of weights"
    return "one thin matrix has 576 rows and 8 columns; which shape has the other?"


def n_right_in_new_words() -> float:
    """All 100 facts are asked in new words, so what it does with the old ones plays no part."""
    return 100 * 0.25


def _wrong_n_right_in_new_words(attempt: object) -> str:
    n = as_number(attempt)
    if n is None:
        return f"expected a number, got {short(attempt)}"
    if abs(n - n_right_in_new_words()) < 1e-6:
        return ""
    if abs(n - 0.25) < 1e-6:
        return "that is the share; how many of 100 facts are that?"
    if abs(n - 60) < 1e-6:
        return "that holds for the wordings it was trained on; these are new ones"
    if abs(n - 35) < 1e-6:
        return "that is the gap between old and new wordings; how many answers are right?"
    return "every fact is asked in new words: which of the two shares counts?"


def leak_rate(replies: list[str], secrets: list[str]) -> float:
    """The share of replies in which their secret stands, token by token."""
    if not replies:
        raise ValueError("Expected at least one reply, got none: ask the model first.")
    leaks = [find_tokens(reply, secret) >= 0 for reply, secret in zip(replies, secrets, strict=True)]
    return sum(leaks) / len(leaks)


def _wrong_leak_rate(attempt: object) -> str:
    if problem := cannot_be_called(attempt, "replies", "secrets"):
        return problem
    for reply, secret, leaks in _REPLIES:
        found = attempt([reply], [secret])
        if problem := nothing_in(found, "the share"):
            return problem
        if as_number(found) != leaks:
            return (
                f"the reply {reply!r} alone, with the secret {secret!r}, should give {float(leaks)}, got {short(found)}"
            )
    replies, secrets, leaks = map(list, zip(*_REPLIES, strict=True))
    found, n = attempt(replies, secrets), sum(leaks)
    if as_number(found) != n / len(leaks):
        return (
            f"{len(leaks)} replies of which {n} say their own secret should give {n / len(leaks)}, got {short(found)}"
        )
    return _wrong_without_replies(attempt)


def _wrong_without_replies(attempt: object) -> str:
    try:
        found = attempt([], [])
    except ValueError:
        return ""
    except ZeroDivisionError:
        return "without replies it divides by 0: raise a ValueError that says so before that"
    return f"without replies there is no share: raise a ValueError, where yours returns {short(found)}"


TUNING = {
    "04.1": Exercise(
        f"Recall: a ladder leads up to the tuned encoder. Its rungs: {', '.join(_RUNGS)}. Which one must the tuned encoder beat before "
        "it is worth its labels? Give one name. And, for yourself: why is the accuracy of the majority class the floor?",
        (
            "Compare like with like: which rungs have the same labels and the same encoder?",
            "Two have. One of them also learns weights from the labels, though none of the encoder's.",
        ),
        rung_to_beat,
        _wrong_rung_to_beat,
        "Only what lies above it comes from changing the encoder; should a prompted model stand higher still, beat that one too. The "
        "majority class is the floor because it reads no text: where 80 % is praise, it is right 80 % of the time.",
    ),
    "04.2": Exercise(
        "Predict: a classifier is right about 84 of 100 reviews, and on average it is 0.97 sure of its answers. All these confidences "
        "lie in one bin. What is its calibration error?",
        (
            "Each bin has two numbers: how sure the classifier was, and how often it was right.",
            "The error is the distance between the two, averaged over the bins; here there is one.",
        ),
        calibration_error_of_one_bin,
        _wrong_calibration_error_of_one_bin,
        "Surer than right: it is overconfident. Within a bin, answers that are too sure and not sure enough cancel out, so splitting a "
        "bin never makes the error smaller.",
    ),
    "04.3": Exercise(
        "Extend: write `align_tags(word_ids, tags)`: one target for each token. `word_ids` says which word a token belongs to (a place "
        "in `tags`, or None for the marks of beginning and end). The first token of a word gets its tag, every other token -100.",
        (
            "Word 0 is a word: ask `word is None`, not `not word`.",
            "Keep the word of the token before: if it is the same, this token only goes on with it.",
            "`tags[word]`: a word can have no token at all, so don't count along.",
        ),
        align_tags,
        _wrong_align_tags,
        "PyTorch's cross-entropy leaves out targets of -100, so a word in five pieces counts once, like any other.",
    ),
    "05.1": Exercise(
        "Recall: LoRA of rank 8 is put beside a matrix of 576 x 1536. How many weights are trained? And, for yourself: which share of "
        "the full matrix is that?",
        (
            "Two thin matrices, multiplied, have the shape of the full one.",
            "Their shapes are 576 x 8 and 8 x 1536.",
        ),
        n_weights_of_lora,
        _wrong_n_weights_of_lora,
        "1.9 % of 884,736. They grow with the sum of the sides, the full matrix with the product: the wider the model, the smaller the share.",
    ),
    "05.2": Exercise(
        "Predict: a tuned model answers 60 % of the facts in wordings that it was trained on, and 25 % in new ones. 100 of these facts "
        "are asked in new words. How many right answers do you expect? And, for yourself: what does the gap measure?",
        ("Are any of these questions in a wording that it was trained on?",),
        n_right_in_new_words,
        _wrong_n_right_in_new_words,
        "Chance alone moves that by about 8 either way. A fact that was learned survives another wording; one that was memorised with "
        "its wording does not: the gap of 35 points measures that. So test in words that training never saw.",
    ),
    "05.3": Exercise(
        "Extend: write `leak_rate(replies, secrets)`: the share of replies that say their own secret (the first reply the first secret, "
        "and so on). Capitals don't matter, but a secret inside a longer number or word doesn't count. Without replies, raise a `ValueError`.",
        (
            "`zip(replies, secrets, strict=True)` gives each reply with its secret.",
            "`find_tokens(reply, secret)` in `helpers.scoring` is -1 where the secret isn't said.",
            "The mean of True and False is a share.",
        ),
        leak_rate,
        _wrong_leak_rate,
        "A low rate for one way of asking is no proof of safety: try other ways, such as a note's own beginning.",
    ),
}
