"""The OpenVINO engine: a BERT encoder as an OpenVINO graph, made at load time from the model's safetensors.

It needs no torch and starts in a fraction of a second. A linear layer's weight may be stored as float32, or as
int8 rows with one scale each (`NAME.weight_scale`, (out, 1)); so may the table of words. What goes into an int8
layer is rounded to 8 bits too, token by token in groups of `quantization.group` numbers, each within its own range,
and the product is computed in int8, where the CPU has instructions for it (AVX-512 VNNI or better); elsewhere in
float32. (Ranges fixed by calibration, one a layer, were measured too: eight layers had to stay in float32 for a mean
cosine of .996, against .999 with none, and the model was larger and slower.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops
from safetensors.numpy import load_file

from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.models.folder import WEIGHTS, About

GELU = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
FAR = -1e9  # added to the score of padding


class OpenVinoEncoder:
    """See `EncoderEngine`."""

    def __init__(self, model: Model, about: About, threads: int) -> None:
        tensors = load_file(model.file(WEIGHTS))
        config = model.read_json("config.json")
        self.dim: int = config["hidden_size"]
        graph = BertGraph(config, tensors, about.pooling).build()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": int(about.quantization.get("group", 0)),
        }
        self._request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()

    def embed(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        result = self._request.infer([ids.astype(np.int32), mask.astype(np.float32)], share_inputs=True)
        return np.array(next(iter(result.values())))


def encoder(model: Model, about: About, threads: int) -> OpenVinoEncoder:
    """Open an encoder.

    Raises:
        InputError: it is no plain BERT.
    """
    config = model.read_json("config.json")
    if config.get("model_type") != "bert" or config.get("hidden_act", "gelu") not in GELU:
        raise InputError(f"the openvino engine runs plain BERT encoders, and {model.path} is none")
    return OpenVinoEncoder(model, about, threads)


class BertGraph:
    """Builds the graph. Source: Devlin et al. 2018, arXiv:1810.04805.

    Args:
        config: config.json of a plain BERT encoder.
        tensors: by transformers' names.
        pooling: "mean" or "cls".
    """

    def __init__(self, config: dict[str, Any], tensors: dict[str, np.ndarray], pooling: str) -> None:
        self.config, self.tensors, self.pooling = config, tensors, pooling
        self.heads = config["num_attention_heads"]
        self.dim = config["hidden_size"]

    def build(self) -> Any:
        ids = ops.parameter([-1, -1], np.int32, name="ids")  # (batch, time)
        mask = ops.parameter([-1, -1], np.float32, name="mask")  # (batch, time), 1 for real tokens
        hidden = self.embeddings(ids)  # (batch, time, dim)
        bias = ops.multiply(ops.subtract(np.float32(1), self.unsqueeze(mask, [1, 2])), np.float32(-FAR))
        bias = ops.negative(bias)  # (batch, 1, 1, time)
        for layer in range(self.config["num_hidden_layers"]):
            hidden = self.layer(hidden, bias, f"encoder.layer.{layer}.")
        return openvino.Model([self.pool(hidden, mask)], [ids, mask], "bert")

    def unsqueeze(self, node: Any, axes: list[int]) -> Any:
        return ops.unsqueeze(node, np.array(axes, np.int64))

    def embeddings(self, ids: Any) -> Any:
        name = "embeddings.word_embeddings.weight"
        axis = np.int64(0)
        words = ops.gather(self.tensors[name], ids, axis)
        if name + "_scale" in self.tensors:
            scales = ops.gather(self.tensors[name + "_scale"], ids, axis)
            words = ops.multiply(ops.convert(words, "f32"), scales)
        time = ops.gather(ops.shape_of(ids), np.array([1], np.int64), axis)
        places = ops.slice(self.tensors["embeddings.position_embeddings.weight"], np.array([0]), time, np.array([1]))
        types = self.tensors["embeddings.token_type_embeddings.weight"][0]
        return self.norm(ops.add(ops.add(words, types), self.unsqueeze(places, [0])), "embeddings.LayerNorm")

    def norm(self, node: Any, name: str) -> Any:
        epsilon = self.config.get("layer_norm_eps", 1e-12)
        flat = ops.mvn(node, np.array([-1], np.int64), True, epsilon, "inside_sqrt")
        return ops.add(ops.multiply(flat, self.tensors[name + ".weight"]), self.tensors[name + ".bias"])

    def linear(self, node: Any, name: str) -> Any:
        weight = self.tensors[name + ".weight"]  # (out, in)
        scale = self.tensors.get(name + ".weight_scale")  # (out, 1)
        if scale is not None:
            weight = ops.multiply(ops.convert(ops.constant(weight), "f32"), scale)
        return ops.add(ops.matmul(node, weight, False, True), self.tensors[name + ".bias"])

    def split(self, node: Any) -> Any:
        """(batch, time, dim) -> (batch, heads, time, dim / heads)"""
        shape = np.array([0, 0, self.heads, self.dim // self.heads])
        return ops.transpose(ops.reshape(node, shape, True), np.array([0, 2, 1, 3]))

    def layer(self, hidden: Any, bias: Any, name: str) -> Any:
        query, key, value = (
            self.split(self.linear(hidden, f"{name}attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = ops.multiply(ops.matmul(query, key, False, True), np.float32((self.dim // self.heads) ** -0.5))
        mixed = ops.matmul(ops.softmax(ops.add(scores, bias), -1), value, False, False)
        joined = ops.reshape(ops.transpose(mixed, np.array([0, 2, 1, 3])), np.array([0, 0, self.dim]), True)
        hidden = self.residual(joined, hidden, f"{name}attention.output.")
        wide = ops.gelu(self.linear(hidden, f"{name}intermediate.dense"), GELU[self.config.get("hidden_act", "gelu")])
        return self.residual(wide, hidden, f"{name}output.")

    def residual(self, inner: Any, outer: Any, name: str) -> Any:
        return self.norm(ops.add(self.linear(inner, name + "dense"), outer), name + "LayerNorm")

    def pool(self, hidden: Any, mask: Any) -> Any:
        if self.pooling == "cls":
            pooled = ops.gather(hidden, np.int64(0), np.int64(1))  # (batch, dim)
        else:
            total = ops.reduce_sum(ops.multiply(hidden, self.unsqueeze(mask, [2])), np.array([1]))
            pooled = ops.divide(total, ops.reduce_sum(mask, np.array([1]), True))
        return ops.normalize_l2(pooled, np.array([1]), 1e-12, "max")
