"""Encoders without their padding, against transformers' own forward pass."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import transformers

from loomwork.models.kernels import ShortAttention, dropout
from loomwork.models.packed_encoder import is_packed, pack_encoder

LENGTHS = torch.tensor([19, 3, 7, 11, 1, 18])
TEXTS, TIME = len(LENGTHS), int(LENGTHS.max())
SEEN = (torch.arange(TIME) < LENGTHS[:, None]).long()
SHAPE = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 40, "num_labels": 2, "initializer_range": 0.2,
}  # fmt: skip
TOKENS = torch.where(SEEN == 1, torch.randint(0, 2, SEEN.shape, generator=torch.Generator().manual_seed(1)), -100)
WANTED = {
    "SequenceClassification": {"labels": torch.arange(TEXTS) % 2},
    "TokenClassification": {"labels": TOKENS},
    "QuestionAnswering": {"start_positions": torch.zeros(TEXTS, dtype=torch.long), "end_positions": LENGTHS - 1},
    "MaskedLM": {"labels": TOKENS},
}


def model_of(family: str, head: str = "SequenceClassification", **more):
    config = getattr(transformers, f"{family}Config")(**SHAPE, pad_token_id=0 if family == "Bert" else 1, **more)
    torch.manual_seed(0)
    return getattr(transformers, f"{family}For{head}")(config).eval()


def ids_of(model) -> torch.Tensor:
    ids = torch.randint(5, 100, SEEN.shape, generator=torch.Generator().manual_seed(2))
    return torch.where(SEEN == 1, ids, model.config.pad_token_id)


def packed(model):
    made = copy.deepcopy(model)
    assert pack_encoder(made) == ""
    assert is_packed(made)
    assert not is_packed(model)
    return made


def loss_of(found, head: str) -> torch.Tensor:
    """The model's own; for spans without filling, which transformers takes for possible answers."""
    if head != "QuestionAnswering":
        return found.loss
    both = zip((found.start_logits, found.end_logits), WANTED[head].values(), strict=True)
    return sum(F.cross_entropy(logits.masked_fill(SEEN == 0, -torch.inf), wanted) for logits, wanted in both)


@pytest.mark.parametrize("head", list(WANTED))
@pytest.mark.parametrize("family", ["Bert", "Roberta", "XLMRoberta", "Camembert"])
def test_loss_states_and_gradients(family, head):
    theirs = model_of(family, head)
    ours, ids = packed(theirs), ids_of(theirs)
    found, losses = [], []
    for model in (theirs, ours):
        types = {"token_type_ids": (torch.arange(TIME) > 5).long().expand(TEXTS, -1)} if family == "Bert" else {}
        given = {"input_ids": ids, "attention_mask": SEEN, "output_hidden_states": True, **types, **WANTED[head]}
        found.append(model(**given))
        losses.append(loss_of(found[-1], head))
        losses[-1].backward()
    assert losses[1].item() == pytest.approx(losses[0].item(), abs=1e-5)
    assert len(found[0].hidden_states) == len(found[1].hidden_states) == 4
    for a, b in zip(found[0].hidden_states, found[1].hidden_states, strict=True):
        torch.testing.assert_close(b[SEEN == 1], a[SEEN == 1], rtol=1e-4, atol=1e-4)
    for (name, a), b in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None:
            assert float((a.grad - b.grad).abs().max()) < 1e-4, name


def test_long_texts(monkeypatch):
    """Of which not all scores of attention are held at once."""
    model = model_of("Bert")
    ours, ids = packed(model), ids_of(model)
    monkeypatch.setattr("loomwork.models.flat.SHORT", 8)
    found, expected = (m(input_ids=ids, attention_mask=SEEN, **WANTED["SequenceClassification"]) for m in (ours, model))
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    found.loss.backward()
    expected.loss.backward()
    for a, b in zip(model.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)


def test_bfloat16_is_as_near_as_theirs():
    model = model_of("Bert")
    ours, ids = packed(model), ids_of(model)
    exact = model(input_ids=ids, attention_mask=SEEN).logits
    with torch.autocast("cpu", torch.bfloat16):
        near = [m(input_ids=ids, attention_mask=SEEN).logits.float() for m in (model, ours)]
    theirs, mine = ((n - exact).norm() / exact.norm() for n in near)
    assert mine < max(2 * theirs, 0.02)


def test_layers_are_computed_again_where_that_is_asked():
    model = model_of("Bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    plain, again = packed(model), packed(model)
    again.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    gradients = []
    for each in (plain, again):
        each(input_ids=ids_of(model), attention_mask=SEEN, **WANTED["SequenceClassification"]).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in each.parameters()]))
    torch.testing.assert_close(*gradients)


def test_a_low_rank_adapter_is_read():
    import peft

    made = []
    for model in (model_of("Bert"), packed(model_of("Bert"))):
        torch.manual_seed(1)
        config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "dense"], init_lora_weights=False)
        wrapped = peft.get_peft_model(model, config)
        found = wrapped(input_ids=ids_of(model), attention_mask=SEEN, **WANTED["SequenceClassification"])
        found.loss.backward()
        made.append((found.logits, {n: p.grad for n, p in wrapped.named_parameters() if p.grad is not None}))
    torch.testing.assert_close(made[0][0], made[1][0], rtol=1e-4, atol=1e-5)
    assert made[0][1].keys() == made[1][1].keys()
    for name, gradient in made[0][1].items():
        torch.testing.assert_close(made[1][1][name], gradient, rtol=1e-3, atol=1e-4)


def test_what_it_cannot_do_goes_through_transformers():
    model = model_of("Bert")
    ours, ids = packed(model), ids_of(model)
    left = torch.flip(SEEN, [1])
    states = model.get_input_embeddings()(ids)
    for given in (
        {"input_ids": ids, "attention_mask": left},
        {"inputs_embeds": states, "attention_mask": SEEN},
        {"input_ids": ids, "attention_mask": SEEN, "position_ids": torch.arange(TIME)[None] + 3},
    ):
        with torch.no_grad():
            torch.testing.assert_close(ours(**given).logits, model(**given).logits)
    assert "not one of" in pack_encoder(transformers.DistilBertModel(transformers.DistilBertConfig(dim=32, n_heads=2)))
    assert pack_encoder(model_of("Bert", "MaskedLM", is_decoder=True)) == "it is a decoder"


def test_dropout_leaves_the_mean_and_is_seeded():
    x = torch.ones(300, 500)
    torch.manual_seed(3)
    first = dropout(x, 0.1)
    assert float((first == 0).float().mean()) == pytest.approx(0.1, abs=0.005)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.005)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(x, 0.1))
    assert dropout(x, 0.0) is x


def test_dropout_of_attention_against_autograd():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))

    def attend(*states: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)  # the same are left out
        return ShortAttention.apply(*states, None, 0.5, 0.3)

    assert torch.autograd.gradcheck(attend, (q, k, v))
    draws = torch.stack([ShortAttention.apply(q, k, v, None, 0.5, 0.3).detach() for _ in range(4000)])
    exact = ShortAttention.apply(q, k, v, None, 0.5).detach()
    assert float((draws.mean(0) - exact).abs().max()) < 6 * float(draws.std(0).max()) / 4000**0.5


def test_a_model_in_training_drops_out():
    model = packed(model_of("Roberta", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)).train()
    given = {"input_ids": ids_of(model), "attention_mask": SEEN}
    torch.manual_seed(0)
    first, second = (model(**given).logits for _ in range(2))
    assert not torch.allclose(first, second)
    torch.manual_seed(0)
    assert torch.equal(first, model(**given).logits)
    model.eval()
    assert torch.equal(model(**given).logits, model(**given).logits)
