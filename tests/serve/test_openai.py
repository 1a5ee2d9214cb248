"""The API, asked by the official client over real HTTP."""

from __future__ import annotations

import numpy as np
import openai
import pytest

from loomwork.core.artifact import Model
from loomwork.models.decoder import load_decoder
from loomwork.models.encoder import encode, load_encoder

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def decoder(stories_home):
    return load_decoder(stories_home.open("stories", Model))


@pytest.fixture(scope="module")
def client(stories):
    return openai.OpenAI(base_url=f"{stories}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def docs_client(docs):
    return openai.OpenAI(base_url=f"{docs}/v1", api_key="none", max_retries=0)


def test_a_greedy_completion_is_the_decoder_s_own_text(client, decoder):
    made = decoder.generate(PROMPT, max_tokens=50, temperature=0.0)
    text = "".join(made)
    answer = client.completions.create(model="stories", prompt=PROMPT, max_tokens=50, temperature=0)
    assert answer.choices[0].text == text
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (made.prompt_tokens, 50)
    assert answer.usage.total_tokens == made.prompt_tokens + 50


def test_streamed_pieces_joined_are_the_whole(client):
    asked = dict(model="stories", prompt=PROMPT, max_tokens=40, temperature=0.8, top_p=0.9, seed=5)
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    texts = [c.choices[0].text for c in chunks if c.choices]
    assert "".join(texts) == whole.choices[0].text
    assert len([t for t in texts if t]) > 5
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].choices == []
    other = client.completions.create(**{**asked, "seed": 6})
    assert other.choices[0].text != whole.choices[0].text


def test_a_stop_string_ends_the_text_and_several_prompts_have_several_answers(client):
    first, second = client.completions.create(
        model="stories", prompt=[PROMPT, "Lily and Tom"], max_tokens=60, temperature=0, stop=["."]
    ).choices
    assert (first.finish_reason, first.index, second.index) == ("stop", 0, 1)
    assert "." not in first.text + second.text
    assert first.text != second.text


def test_chat_whole_and_streamed(client, decoder):
    messages = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ]
    prompt = decoder.chat_prompt([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])
    text = "".join(decoder.generate(prompt, max_tokens=20, temperature=0.0, stop=["\nuser:"]))
    asked = dict(model="stories", messages=messages, temperature=0)
    answer = client.chat.completions.create(**asked, max_completion_tokens=20)
    assert answer.choices[0].message.content == text
    assert answer.choices[0].message.role == "assistant"
    deltas = [c.choices[0].delta for c in client.chat.completions.create(**asked, max_tokens=20, stream=True)]
    assert "".join(d.content or "" for d in deltas) == text
    assert [d.role for d in deltas if d.role] == ["assistant"]


def test_every_answer_names_its_artifact(client, stories_home):
    raw = client.completions.with_raw_response.create(model="stories", prompt="a", max_tokens=1)
    model = stories_home.open("stories", Model).id
    assert raw.headers["x-loomwork-artifact"] == model
    assert raw.parse().id == f"cmpl-{raw.headers['x-request-id']}"
    assert [m.id for m in client.models.list()] == ["stories"]
    assert client.models.retrieve("stories@champion").artifact == model
    assert client.completions.create(model=model, prompt="a", max_tokens=1).choices


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"temperature": 9}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"prompt": [1, 2, 3]}, "token ids are not supported"),
        ({"n": 3}, "does not support 'n'"),
        ({"logprobs": 2}, "does not support 'logprobs'"),
        ({"prompt": "a " * 2000}, "context is 512"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"extra_body": {"guided_regex": "a+"}}, "guided_regex"),
    ],
)
def test_what_is_not_served_is_refused_with_a_sentence(client, more, said):
    with pytest.raises(openai.BadRequestError, match=said) as caught:
        client.completions.create(**{"model": "stories", "prompt": PROMPT, "max_tokens": 3} | more)
    assert caught.value.type == "invalid_request_error"


def test_what_changes_nothing_is_accepted(client):
    asked = client.completions.create(model="stories", prompt=PROMPT, max_tokens=1, n=1, echo=False, user="me")
    assert asked.choices


def test_a_model_that_is_not_here_and_one_that_cannot(client, docs_client):
    with pytest.raises(openai.NotFoundError, match="only 'stories'"):
        client.completions.create(model="gpt-9", prompt="a")
    with pytest.raises(openai.BadRequestError, match="is an encoder"):
        docs_client.chat.completions.create(model="docs", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.BadRequestError, match="is a decoder"):
        client.embeddings.create(model="stories", input="a")


def test_embeddings_are_the_encoder_s_own_in_both_encodings(docs_client, docs_home):
    encoder = load_encoder(docs_home.open("docs", Model))
    texts = ["merge two sorted lists", "Grüße 東京 🙂", "x " * 4000, *(f"text {i}" for i in range(70))]
    expected = encoder.embed(texts)
    answer = docs_client.embeddings.create(model="docs", input=texts)  # the client asks for base64 by itself
    got = np.array([d.embedding for d in answer.data], np.float32)
    assert [d.index for d in answer.data] == list(range(len(texts)))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert answer.usage.prompt_tokens == sum(map(len, encode(encoder.tokenizer, texts, encoder.about.max_tokens)))
    plain = docs_client.embeddings.create(model="docs", input=texts[0], encoding_format="float").data[0].embedding
    np.testing.assert_allclose(plain, expected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"input": [1, 2, 3]}, "token ids are not supported"),
        ({"input": [[1, 2], [3]]}, "token ids are not supported"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 64}, "does not support 'dimensions'"),
    ],
)
def test_embeddings_that_are_refused(docs_client, more, said):
    with pytest.raises(openai.BadRequestError, match=said):
        docs_client.embeddings.create(**{"model": "docs", "input": "a"} | more)
