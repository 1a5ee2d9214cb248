"""float16: losses are scaled, steps that overflow are left out, and a decoder learns as in float32."""

from __future__ import annotations

import pytest
import torch

from loomwork.core.context import Context, use_context
from loomwork.core.errors import LoomError, Stopped
from loomwork.learn.adapters import adapted
from loomwork.learn.causal import CausalObjective
from loomwork.learn.forward import causal_decoder
from loomwork.learn.loop import fit
from loomwork.learn.loss_scale import GROWN_AFTER, LossScale
from loomwork.learn.settings import Adapter, Training
from tests.learn.small_runs import Line, Points, run
from tests.learn.test_adapters import part_of
from tests.models.small_decoders import small, texts_of


def test_a_scale_that_is_a_power_of_two_changes_nothing(tmp_path):
    ends = {}
    for precision in ("float32", "float16"):  # the line computes in float32 in both
        line = Line()
        history = run(line, tmp_path / precision, steps=30, precision=precision)
        ends[precision] = line.layer.weight.tolist(), history.losses, history.gradient_norms
    assert ends["float32"] == ends["float16"]


class Spikes(Line):
    """A line whose gradient, not its loss, is huge at some steps."""

    def forward(self, part: Points) -> torch.Tensor:
        spike = 1e36 * (self.factor(part.step) - 1)  # a number, and not times the scale
        weight = self.layer.weight.sum()
        return (errors_of(self, part) ** 2).sum() * part.share + spike * (weight - weight.detach())


def errors_of(line: Line, part: Points) -> torch.Tensor:
    return line.layer(line.inputs[part.rows]) - line.targets[part.rows]


def test_a_step_that_overflows_is_left_out_and_the_run_goes_on_also_when_resumed(tmp_path):
    stop, ends = tmp_path / "stop", []
    for name, at in (("a", None), ("b", 12)):

        def factor(step: int, at: int | None = at) -> float:
            if step == at:
                stop.touch()
            return 2.0 if step in (5, 6) else 1.0

        line = Spikes(factor=factor)
        if at is not None:
            with pytest.raises(Stopped):
                run(line, tmp_path / name, steps=30, precision="float16", stop_file=stop)
            stop.unlink()
            line = Spikes(seed=4, factor=lambda step: 1.0)
            line.inputs, line.targets = Line().inputs, Line().targets
        history = run(line, tmp_path / name, steps=30, precision="float16")
        ends.append((line.layer.weight.tolist(), history.losses, history.gradient_norms))
        assert history.losses[-1] < history.losses[0]
        assert history.losses[6] == history.losses[7] < history.losses[5] + 1e-6  # neither step moved a weight
    assert ends[0] == ends[1]


def test_without_a_scale_an_overflow_ends_the_run(tmp_path):
    with pytest.raises(LoomError, match="norm inf"):
        run(Line(factor=lambda step: 1e38), tmp_path, steps=3, precision="bfloat16")


def test_the_scale_grows_again():
    scale = LossScale.of("float16")
    first = scale.value
    assert scale.overflowed(float("inf"))
    assert (scale.value, scale.skipped) == (first / 2, 1)
    assert not any(scale.overflowed(1.0) for _ in range(GROWN_AFTER))
    assert scale.value == first
    other = LossScale()
    other.resume(scale.state)
    assert other == scale
    assert not LossScale.of("float32").overflowed(float("inf"))


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_decoder_learns_in_float16_what_it_learns_in_float32(adapter):
    losses, small_ones = {}, {}
    for precision in ("float32", "float16"):
        how = Adapter(adapter)
        torch.manual_seed(0)
        model = adapted(small("llama", initializer_range=0.05), how, "CAUSAL_LM")
        decoder, _ = causal_decoder(model, how, getattr(torch, precision))
        part = part_of(texts_of(9, 9, 16))
        with use_context(Context(threads=1, precision=precision)):
            history = fit(CausalObjective(decoder), lambda s, n, p=part: [p], Training(learning_rate=0.01), steps=20)
        losses[precision] = history.losses
        small_ones[precision] = history.gradient_norms
    assert losses["float16"] == pytest.approx(losses["float32"], rel=0.02)
    assert small_ones["float16"] == pytest.approx(small_ones["float32"], rel=0.1)
