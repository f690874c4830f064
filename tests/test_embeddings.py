"""The embedder is mean pooling over a transformer, scaled to length 1; nothing more is hidden in it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance
from sentence_transformers import SentenceTransformer
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity
from transformers import AutoModel, AutoTokenizer

from helpers.embeddings import Embedder, cosine, project_2d
from helpers.models import EMBEDDER, fetch_model

TEXTS = [
    "A pump.",
    "The pump needs oil every week, and twice a week in winter.",
    "Grüße aus Köln! 你好 🙂",
    "<script>alert(1)</script>",
    "x",
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@torch.inference_mode()
def pooled_by_hand(texts: list[str]) -> np.ndarray:
    """The definition: average the vectors of the real tokens, then scale to length 1."""
    folder = fetch_model(EMBEDDER)
    inputs = AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    vectors = AutoModel.from_pretrained(folder)(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None]
    mean = (vectors * mask).sum(dim=1) / mask.sum(dim=1)
    return (mean / mean.norm(dim=1, keepdim=True)).numpy()


@pytest.mark.weights
def test_it_equals_mean_pooling_by_hand(embedder):
    found = embedder.encode(TEXTS)
    assert (found.shape, found.dtype) == ((5, 384), np.float32)
    np.testing.assert_allclose(found, pooled_by_hand(TEXTS), atol=1e-6)


@pytest.mark.weights
def test_it_equals_sentence_transformers(embedder):
    reference = SentenceTransformer(str(fetch_model(EMBEDDER)), device="cpu")
    np.testing.assert_allclose(embedder.encode(TEXTS), reference.encode(TEXTS), atol=1e-6)


@pytest.mark.weights
def test_vectors_have_length_1_even_if_the_model_does_not_see_to_it(embedder, monkeypatch):
    reference = embedder.encode(TEXTS)
    bare = SentenceTransformer(modules=list(embedder.model)[:2], device="cpu")  # without its last step
    assert np.abs(np.linalg.norm(bare.encode(TEXTS), axis=1) - 1).min() > 0.1
    monkeypatch.setattr(embedder, "model", bare)
    np.testing.assert_allclose(embedder.encode(TEXTS), reference, atol=1e-6)


@pytest.mark.weights
def test_every_vector_has_length_1_and_batches_change_nothing(embedder):
    vectors = embedder.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(embedder.encode(TEXTS, batch_size=1), vectors, atol=1e-6)
    np.testing.assert_allclose(embedder.encode(tuple(TEXTS[::-1]))[::-1], vectors, atol=1e-6)


@pytest.mark.weights
def test_exactly_256_tokens_are_read(embedder):
    text = " ".join(["pump"] * 253)  # with the two that mark beginning and end: 255
    assert embedder.max_tokens == 256
    assert embedder.n_tokens([text, f"{text} oil", f"{text} oil week"]) == [255, 256, 257]
    short, full, cut = embedder.encode([text, f"{text} oil", f"{text} oil week"])
    assert np.abs(full - short).max() > 1e-4  # the last token that fits counts
    np.testing.assert_allclose(cut, full, atol=1e-6)  # the first that does not is not read


@pytest.mark.weights
def test_tokens_are_counted_with_the_two_at_the_ends(embedder):
    assert embedder.n_tokens(["pump", "pump pump", "pump " * 1000]) == [3, 4, 1002]


@pytest.mark.weights
@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "Expected at least one text, got none"),
        ("pump", r"got one string. Put it in a list: \[text\]"),
        (["a", "", " \n", None, 5], r"these are not: positions \[1, 2, 3, 4\]"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(embedder, texts, said):
    with pytest.raises(ValueError, match=said):
        embedder.encode(texts)


def test_cosine_of_vectors_that_can_be_drawn():
    a = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [3.0, 4.0]])
    b = np.array([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [4.0, 3.0]])
    np.testing.assert_allclose(cosine(a, b), [1, 0, -1, 0.96])


rows = st.lists(st.lists(st.integers(-9, 9), min_size=4, max_size=4).filter(any), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(rows, st.integers(1, 5))
def test_cosine_equals_scipy_and_scikit_learn_and_ignores_length(vectors, factor):
    a = np.array(vectors, dtype=float)
    b = np.roll(a, 1, axis=0) + 0.5
    found = cosine(a, b)
    np.testing.assert_allclose(found, [1 - distance.cosine(x, y) for x, y in zip(a, b, strict=True)], atol=1e-9)
    np.testing.assert_allclose(found, np.diag(cosine_similarity(a, b)), atol=1e-9)
    np.testing.assert_allclose(found, cosine(factor * a, b), atol=1e-9)


def test_cosine_refuses_what_has_none():
    with pytest.raises(ValueError, match="A vector of zeros has no direction"):
        cosine(np.zeros((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"same shape \[n, d\], got \(1, 2\) and \(2, 2\)"):
        cosine(np.ones((1, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"got \(2,\) and \(2,\)"):
        cosine(np.ones(2), np.ones(2))


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 30), st.integers(2, 12), st.integers(0, 999))
def test_a_map_equals_principal_components_up_to_sign(n, d, seed):
    vectors = np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1)
    found = project_2d(vectors)
    reference = PCA(n_components=2).fit_transform(vectors)
    np.testing.assert_allclose(np.abs(found), np.abs(reference), atol=1e-8)


def test_a_map_repeats_and_its_signs_do_not_depend_on_the_order_of_texts():
    vectors = np.random.default_rng(1).normal(size=(20, 8))
    np.testing.assert_array_equal(project_2d(vectors), project_2d(vectors.copy()))
    np.testing.assert_allclose(project_2d(vectors[::-1])[::-1], project_2d(vectors), atol=1e-9)


def test_a_map_needs_three_texts():
    with pytest.raises(ValueError, match="A map needs at least 3 texts, got 2"):
        project_2d(np.eye(2))
