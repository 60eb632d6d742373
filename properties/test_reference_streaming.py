"""POMT-ATT-1 from queries and keys: the streaming functions on layers whose matrix only the oracle computes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.errors import ValuesError
from pomt_ref.streaming import attention_sums_from_lse, prune_qkv, streaming_attention
from pomt_ref.testing import Dtype, LayerCase, layer_cases
from pomt_ref.testing.formats import normative
from pomt_ref.testing.laws import (
    output_is_that_of_attention,
    streamed_sums_are_those_of_the_matrix,
    sums_from_a_logsumexp_are_those_of_the_matrix,
)

from .implementations import DEVICES, DTYPES


def layer(case: LayerCase, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values as an implementation takes them."""
    dtype = getattr(torch, case.dtype)
    q, k, v = (torch.tensor(array).to(device, dtype) for array in (case.q, case.k, case.v))
    return q, k, v


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """In float64, without loss."""
    return tensor.cpu().double().numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
class TestStreaming:
    """POMT-ATT-1: the sums are those of the matrix, within FLOAT-3, in blocks of any size and in every dtype."""

    @given(data=st.data())
    def test_one_pass_gives_sums_and_output(self, device: str, dtype: Dtype, data: st.DataObject) -> None:
        """As the oracle has them; the sums in float32 or wider, the output in the dtype of the values."""
        case = data.draw(layer_cases(dtype=dtype))
        q, k, v = layer(case, device)
        out, sums = streaming_attention(q, k, v, prefix=case.shape.prefix, rows=case.shape.rows)
        assert (out.dtype, sums.dtype) == (v.dtype, getattr(torch, normative(dtype).name))
        streamed_sums_are_those_of_the_matrix(case, to_numpy(sums))
        output_is_that_of_attention(case, to_numpy(out))

    @given(data=st.data())
    def test_sums_from_lse(self, device: str, dtype: Dtype, data: st.DataObject) -> None:
        """As the oracle has them, from its own logsumexp."""
        case = data.draw(layer_cases(dtype=dtype))
        q, k, _ = layer(case, device)
        lse = torch.tensor(case.lse).to(device, getattr(torch, normative(dtype).name))
        sums = attention_sums_from_lse(q, k, lse, prefix=case.shape.prefix, rows=case.shape.rows)
        assert sums.dtype == getattr(torch, normative(dtype).name)
        sums_from_a_logsumexp_are_those_of_the_matrix(case, to_numpy(sums))

    @given(data=st.data())
    def test_step_uses_the_same_sums(self, device: str, dtype: Dtype, data: st.DataObject) -> None:
        """The step from queries and keys, as far as its sums."""
        case = data.draw(layer_cases(dtype=dtype))
        q, k, v = layer(case, device)
        x, prefix, rows = v[:, 0], case.shape.prefix, case.shape.rows
        _, sums = streaming_attention(q, k, v, prefix=prefix, rows=rows)
        if not sums.any():  # all attention goes to the prefix, up to what the dtype of scores can hold
            streamed_sums_are_those_of_the_matrix(case, to_numpy(sums))
            with pytest.raises(ValuesError, match="some patch-to-patch attention above zero"):
                prune_qkv(x, q, k, v, prefix=prefix, keep=0, rows=rows, algorithm="one pass")
            return
        step = prune_qkv(x, q, k, v, prefix=prefix, keep=0, rows=rows, algorithm="one pass")
        streamed_sums_are_those_of_the_matrix(case, to_numpy(step.sums))
        assert step.tokens.dtype == x.dtype
