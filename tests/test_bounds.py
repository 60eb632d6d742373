"""LIN-1 by example: exact sums, the planes of the literature, the goals that are promised, the page and the picture."""

import sys
import time
from fractions import Fraction
from math import isqrt
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import pytest
import torch
from hypothesis import find

from pomt_ref.bounds import (
    AttentionLayer,
    Box,
    MlpResidual,
    attention_difference,
    block_difference,
    certify,
    certify_tokens,
    comparison,
    max_envelope,
    relax_max,
    worst_gap,
)
from pomt_ref.bounds.directed import dot_down, dot_up, down, products, sum_down, sum_up, two_product, up
from pomt_ref.bounds.measuring import attention_boxes, certified_shares, difference_drops, mean_maximum, random_step
from pomt_ref.errors import MissingExtraError, ValuesError
from pomt_ref.testing import planes
from pomt_ref.vision import certificates
from pomt_ref.vision.digits import load_digits, load_model
from pomt_ref.vision.vit import DigitsViT

ROOT: Final = Path(__file__).parent.parent


def double(*values: float) -> torch.Tensor:
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def real_mlp(model: DigitsViT) -> MlpResidual:
    """What the pruned block of the digits model adds after the step."""
    return MlpResidual.of(model.get_submodule("blocks.1.mlp_norm"), model.get_submodule("blocks.1.mlp"))


def standing_norm(eps: float) -> MlpResidual:
    """A norm of five channels, followed by what leaves its sign: GELU of itself and of its negative, subtracted."""
    norm, up_map, down_map = torch.nn.LayerNorm(5, eps=eps), torch.nn.Linear(5, 10), torch.nn.Linear(10, 5)
    identity = torch.eye(5)
    with torch.no_grad():
        up_map.weight.copy_(torch.cat([identity, -identity]))
        down_map.weight.copy_(torch.cat([identity, -identity], dim=1))
        up_map.bias.zero_()
        down_map.bias.zero_()
    return MlpResidual.of(norm, torch.nn.Sequential(up_map, torch.nn.GELU(), down_map))


def exact_norm(x: torch.Tensor, eps: float) -> list[tuple[Fraction, Fraction]]:
    """The normalised row between two fractions: GELU(y) - GELU(-y) is y."""
    entries = [Fraction(entry) for entry in x.tolist()]
    mean = sum(entries, Fraction(0)) / len(entries)
    square = sum(((entry - mean) ** 2 for entry in entries), Fraction(0)) / len(entries) + Fraction(eps)
    # A root of a fraction, rounded down and up at 80 digits of its own.
    shift = 10 ** (2 * (400 + 80))
    root = isqrt(square.numerator * shift // square.denominator)
    least, most = (Fraction(each, 10 ** (400 + 80)) for each in (root, root + 1))
    ends = [((entry - mean) / most, (entry - mean) / least) for entry in entries]
    return [(min(pair), max(pair)) for pair in ends]


def standing_in() -> ModuleType:
    """A package with auto_LiRPA's names: its bounds are those of the center, less one."""

    class BoundedModule:
        def __init__(self, model: torch.nn.Module, example: torch.Tensor, **_: object) -> None:
            self.model, self.example = model, example

        def compute_bounds(
            self, *, x: tuple[torch.Tensor], C: torch.Tensor, method: str
        ) -> tuple[torch.Tensor, torch.Tensor]:
            assert method == "CROWN"
            value = (C @ self.model(x[0]).unsqueeze(-1)).squeeze(-1)
            return value - 1, value + 1

    module = ModuleType("auto_LiRPA")
    vars(module).update(
        BoundedModule=BoundedModule, BoundedTensor=lambda center, _: center, PerturbationLpNorm=lambda **_: None
    )
    return module


class TestDirected:
    """LIN-1: sums and products that are exact, or rounded once, in the direction asked for."""

    def test_sums_are_rounded_once_and_outward(self) -> None:
        generator = torch.Generator().manual_seed(0)
        scale = 10.0 ** torch.randint(-20, 20, (12, 200), generator=generator).double()
        terms = torch.randn(12, 200, generator=generator, dtype=torch.float64) * scale
        above, below = sum_up([*terms]), sum_down([*terms])
        for place in range(200):
            exact = sum(map(Fraction, terms[:, place].tolist()), Fraction(0))
            assert Fraction(below[place].item()) <= exact <= Fraction(above[place].item())
            assert Fraction(down(above)[place].item()) < exact < Fraction(up(below)[place].item())

    def test_products_are_exact(self) -> None:
        generator = torch.Generator().manual_seed(1)
        one, other = torch.randn(2, 500, generator=generator, dtype=torch.float64)
        rounded, lost = two_product(one, other)
        for a, b, high, low in zip(one.tolist(), other.tolist(), rounded.tolist(), lost.tolist(), strict=True):
            assert Fraction(a) * Fraction(b) == Fraction(high) + Fraction(low)

    def test_products_that_underflow_carry_slack(self) -> None:
        one, other = double(1e-200, 1e-160, 0.0, 1.0), double(1e-200, 3e-150, 1.0, 1.0)
        rounded, lost, slack = products(one, other)
        assert (slack > 0).tolist() == [True, True, False, False]
        for place in range(2):
            exact = Fraction(one[place].item()) * Fraction(other[place].item())
            found = Fraction(rounded[place].item()) + Fraction(lost[place].item())
            assert abs(exact - found) <= Fraction(slack[place].item())

    def test_scalar_products_lie_between_their_bounds(self) -> None:
        generator = torch.Generator().manual_seed(2)
        one, other = torch.randn(2, 50, 64, generator=generator, dtype=torch.float64)
        add = torch.randn(50, generator=generator, dtype=torch.float64)
        lo, hi = dot_down(one, other, dim=1, add=add), dot_up(one, other, dim=1, add=add)
        for place in range(50):
            pairs = zip(one[place].tolist(), other[place].tolist(), strict=True)
            exact = sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(add[place].item()))
            assert Fraction(lo[place].item()) <= exact <= Fraction(hi[place].item())


class TestPlanes:
    """LIN-1: the axis of heads is found, and the planes are those of the literature."""

    def test_axis_of_heads_is_the_default(self) -> None:
        box = Box(torch.zeros(2, 3, 4, 5), torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)))
        bounds = relax_max(box)
        assert bounds.upper_intercept.shape == (2, 4, 5)
        assert bounds.dim == -3
        assert torch.equal(bounds.upper_slopes, relax_max(box, dim=1).upper_slopes)
        assert bounds.concretize().shape == (2, 4, 5)

    def test_thresholds_may_differ_from_maximum_to_maximum(self) -> None:
        box = Box(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [2.0, 1.0]]))
        bounds = relax_max(box, upper=double(0.5, 1.0), dim=1)
        assert bounds.upper_slopes.tolist() == [[0.5, 0.5], [0.5, 0.0]]
        assert bounds.upper(double(1.0, 0.0)).tolist() == [1.0, 1.5]
        assert bounds.lower(double(1.0, 0.0)).tolist() == [1.0, 1.0]

    def test_boxes_as_wide_as_the_format_have_planes(self) -> None:
        box = Box(double(-1e290, -1e280), double(1e295, 1e294))
        slopes = relax_max(box).upper_slopes
        assert ((slopes >= 0) & (slopes <= 1)).all()

    @pytest.mark.parametrize("size", [1e-300, 1e-310, 1e-320])
    def test_boxes_at_the_end_of_the_format_are_bounded(self, size: float) -> None:
        """Products underflow there; the plane and the envelope stay above every corner, in rational arithmetic."""
        box = planes.Variables(np.array([1.0, -2.0, 3.0]) * size, np.array([3.0, 5.0, 3.0 + 2.0**-50]) * size)
        tensors = Box(torch.from_numpy(box.low), torch.from_numpy(box.high))
        for corner in box.corners():
            found = max_envelope(tensors, double(*map(float, corner))).item()
            assert Fraction(found) >= max(corner)
        bounds = relax_max(tensors)
        slopes = tuple(map(Fraction, bounds.upper_slopes.tolist()))
        assert planes.holds_above(box, planes.Plane(slopes, Fraction(bounds.upper_intercept.item())))

    @pytest.mark.parametrize("width", [5e-324, 1.5e-323])
    def test_planes_and_envelope_of_the_narrowest_boxes_are_numbers(self, width: float) -> None:
        """A subnormal width has no half."""
        box = Box(double(0.0, 0.0), double(width, 5e-324))
        for point in (box.lo, box.hi, double(0.0, 5e-324)):
            assert max_envelope(box, point).item() >= point.max().item()
        variables = planes.Variables(box.lo.numpy(), box.hi.numpy())
        for upper in ("volume-minimax", "minimax", "maxlin", "parallel"):
            bounds = relax_max(box, upper=upper)
            slopes = tuple(map(Fraction, bounds.upper_slopes.tolist()))
            planes.holds_above(variables, planes.Plane(slopes, Fraction(bounds.upper_intercept.item())))

    def test_envelope_never_ignores_a_variable_whose_width_overflows(self) -> None:
        """Its share would be zero, and the envelope below the maximum at the corner."""
        box = Box(double(-1.7e308, 0.9e308), double(1.0e308, 0.95e308))
        with pytest.raises(ValuesError, match="max_envelope: expected a box whose widths are finite"):
            max_envelope(box, double(0.0, 0.95e308))

    def test_twelve_tied_heads_are_not_collapsed(self) -> None:
        """The trap of w₂: among equal upper bounds MaxLin's plane is the constant, and the envelope knows better."""
        box = Box(torch.zeros(12), torch.ones(12))
        assert relax_max(box, upper="maxlin").upper_slopes.sum() == 0
        assert max_envelope(box, torch.full((12,), 1 / 12)).item() == pytest.approx(1.0)


class TestGoals:
    """What the package promises of its bounds, measured."""

    @pytest.mark.parametrize("heads", [3, 6, 12])
    def test_worst_gap_is_three_quarters_of_maxlin_at_equal_volume(self, heads: int) -> None:
        box = attention_boxes(heads, count=2048, seed=0)
        height = box.hi.amax(dim=0) - box.lo.amax(dim=0)
        default, maxlin = (relax_max(box, upper=upper, dim=0) for upper in ("volume-minimax", "maxlin"))
        middle = box.lo / 2 + box.hi / 2
        assert torch.allclose(default.upper(middle), maxlin.upper(middle), rtol=0, atol=1e-12)
        assert (worst_gap(default) / height).mean() <= 0.75 * (worst_gap(maxlin) / height).mean()

    def test_196_patches_take_a_second_and_half_of_them_are_certain(self) -> None:
        logits, values = random_step(197, 3, seed=0)
        start = time.perf_counter()
        certificate = certify(logits=Box.around(logits, 0.1), values=Box.around(values, 0.1 / 8), keep=137)
        # A second on two idle cores; tests run beside others.
        assert time.perf_counter() - start <= 4
        assert certificate.share >= 0.48

    def test_exact_pairs_say_more_than_intervals_and_no_more_than_an_attack_leaves(self) -> None:
        found = certified_shares(65, 3, radius=0.1, seed=0)
        assert found.intervals < found.multiplied <= found.exact < found.limit

    @pytest.mark.long
    def test_planes_drop_little_more_than_an_attack(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One of the four seeds of docs/comparison.md; fewer steps of the attack make the ratio larger, if anything."""
        monkeypatch.setattr("pomt_ref.bounds.limits.STRONGER_STEPS", 12)
        found = difference_drops(tokens=17, heads=3, features=16, radius=1e-2, seed=1)
        assert 1 <= found.planes <= 1.3 < found.intervals
        assert found.certain_planes >= found.certain_intervals

    @pytest.mark.long
    def test_replay_of_32_patches_takes_seconds(self) -> None:
        logits, values = random_step(33, 3, seed=0)
        start = time.perf_counter()
        assert certify(logits=Box.around(logits, 0.05), values=Box.around(values, 0.01), keep=20).check()
        assert time.perf_counter() - start < 20


class TestExtremes:
    """Logits of any size, boxes of any width: bounds are finite or refused."""

    @pytest.mark.parametrize("radius", [1e3, 1e6, 1e307])
    def test_boxes_that_say_nothing_certify_nothing(self, radius: float) -> None:
        logits = torch.zeros(1, 2, 5, 5, dtype=torch.float64)
        certificate = certify(logits=Box.around(logits, radius), values=Box.around(logits[..., :1], 10.0), keep=2)
        assert certificate.undetermined.all()
        assert (attention_difference(Box.around(logits, radius)).hi.abs() <= 4.001).all()
        assert certificate.check()

    @pytest.mark.parametrize("radius", [0.0, 1.0, 300.0, 2000.0, 1.7e308])
    def test_logits_that_spread_beyond_exponentials_are_replayed(self, radius: float) -> None:
        """Keys whose exponentials underflow beside that of the prefix: the replay has digits for them."""
        logits = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
        logits[..., 0] = 600.0
        logits[..., 1] = 5.0
        certificate = certify(logits=Box.around(logits, radius), values=Box.point(logits[..., :1] / 600), keep=1)
        assert certificate.check()
        assert bool(certificate.undetermined.any()) == (radius > 1)

    def test_certificate_of_no_kept_token_discards_all(self) -> None:
        logits = torch.zeros(1, 1, 4, 4)
        certificate = certify(logits=Box.around(logits, 1.0), values=Box.point(torch.zeros(1, 1, 4, 1)), keep=0)
        assert certificate.discarded.all()
        assert certificate.share == 1.0

    def test_wide_boxes_of_tokens_fall_back_to_constants(self) -> None:
        weights = torch.full((3, 1, 1, 1), 30.0)
        layer = AttentionLayer(*weights, *torch.zeros(3, 1, 1))
        tokens = Box.around(torch.tensor([[[0.0], [1.0], [-2.0], [3.0]]]), 2.0)
        certificate = certify_tokens(tokens, layer, keep=1)
        assert certificate.attention.hi.isfinite().all()
        assert certificate.undetermined.all()
        assert certificate.check()

    @pytest.mark.parametrize("radius", [0.0, 1.0, 1e6])
    def test_a_token_alone_has_all_attention(self, radius: float) -> None:
        """One key: its share is one however wide its logit is."""
        layer = AttentionLayer(*torch.ones(3, 2, 1, 1), *torch.zeros(3, 2, 1))
        tokens = Box.around(torch.tensor([[[2.0]]]), radius)
        certificate = certify_tokens(tokens, layer, prefix=0, keep=0)
        assert certificate.discarded.all()
        assert certificate.largest.contains(torch.ones(1, 1))
        assert certificate.check()

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("size", "weight"),
        [(1e-320, 1.0), (1e-165, 1e150), (1.0, 1e-300), (1e300, 1e-300), (1e10, 1e10), (1e-10, 1e150)],
    )
    def test_tokens_of_any_size_are_replayed(self, size: float, weight: float) -> None:
        """Products underflow or spread beyond exponentials: bounds have room for what is lost."""
        generator = torch.Generator().manual_seed(2)
        weights = weight * torch.randn(3, 2, 3, 5, generator=generator, dtype=torch.float64)
        layer = AttentionLayer(*weights, *torch.zeros(3, 2, 3))
        center = size * torch.randn(1, 4, 5, generator=generator, dtype=torch.float64)
        tokens = Box(center - 0.01 * center.abs(), center + 0.01 * center.abs())
        assert certify_tokens(tokens, layer, keep=1).check()

    @pytest.mark.long
    def test_shares_that_underflow_have_constants_for_planes(self) -> None:
        """Logits that are hundreds apart: slopes and shares beyond the smallest numbers, in every direction."""
        generator = torch.Generator().manual_seed(0)
        weights = 10 * torch.randn(3, 2, 3, 5, generator=generator, dtype=torch.float64)
        layer = AttentionLayer(*weights, *torch.zeros(3, 2, 3))
        for radius in (0.0, 0.01, 0.3):
            tokens = Box.around(torch.randn(1, 5, 5, generator=generator, dtype=torch.float64), radius)
            certificate = certify_tokens(tokens, layer, keep=2)
            assert certificate.attention.hi.isfinite().all()
            assert certificate.check()


class TestMlp:
    """LIN-1: the interval of an MLP residual holds it, and is a point at a point."""

    def test_point_is_exact(self) -> None:
        mlp = real_mlp(load_model())
        x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        bounds = mlp.bounds(Box.point(x))
        assert bounds.contains(mlp(x))
        assert float((bounds.hi - bounds.lo).max()) < 1e-8

    @pytest.mark.parametrize("size", [1e-200, 1e-130, 1e-20, 1.0, 1e100, 1e150, 1e153, 1e155, 1e160, 1e300])
    @pytest.mark.parametrize("eps", [0.0, 1e-5])
    def test_rows_of_any_size_are_bounded_or_refused(self, size: float, eps: float) -> None:
        """No tolerance: the bounds hold the true norm, here in integers, or there are none."""
        mlp = standing_norm(eps)
        x = size * double(3.0, -1.0, 2.0, -5.0, 0.5)
        if not (eps or size > 1e-120) or size > 1e153:
            with pytest.raises(ValuesError, match=r"MlpResidual\.bounds: expected rows whose squares float64 holds"):
                mlp.bounds(Box.point(x))
            return
        bounds = mlp.bounds(Box.point(x))
        for place, truth in enumerate(exact_norm(x, eps)):
            low, high = truth
            assert Fraction(bounds.lo[place].item()) <= low
            assert high <= Fraction(bounds.hi[place].item())

    def test_without_the_refusal_the_bound_is_false(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The mutant that takes an infinite deviation for a number is killed: its norm is zero."""
        monkeypatch.setattr("pomt_ref.bounds.mlp.refuse", lambda *_: None)
        x = 1e160 * double(3.0, -1.0, 2.0, -5.0, 0.5)
        bounds = standing_norm(1e-5).bounds(Box.point(x))
        assert any(
            not Fraction(bounds.lo[place].item()) <= low <= high <= Fraction(bounds.hi[place].item())
            for place, (low, high) in enumerate(exact_norm(x, 1e-5))
        )

    def test_real_block_differs_by_no_more_than_certified(self) -> None:
        model, image = load_model(), load_digits("test").images[:1]
        seen = model.capture(image)
        certificate = certify(
            attention=Box.point(seen.attn), values=Box.point(seen.v), x=Box.around(seen.x, 0.001), remove=8
        )
        mlp = real_mlp(model)
        bounds = block_difference(certificate, mlp)
        out = certificate.discarded[0].nonzero().flatten() + 1
        mean = seen.x[:, out].double().mean(dim=1, keepdim=True)
        found = mean + mlp(mean) - seen.x[:, out].double() - mlp(seen.x[:, out])
        chosen = out - 1
        assert ((bounds.rows.lo[:, chosen] <= found) & (found <= bounds.rows.hi[:, chosen])).all()
        assert not bounds.rows.hi[certificate.kept].any()
        alone = block_difference(certificate).rows
        less = mean - seen.x[:, out].double()
        assert ((alone.lo[:, chosen] <= less) & (less <= alone.hi[:, chosen])).all()


class TestPage:
    """docs/comparison.md is what the module writes."""

    @pytest.mark.long
    def test_planes_are_those_of_the_page(self) -> None:
        page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
        assert "".join(comparison.plane_table()) in page

    def test_main_writes_every_table(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comparison, "BOXES", 32)
        monkeypatch.setattr(comparison, "TOKENS", (9, 5))
        monkeypatch.setattr(comparison, "LOGIT_RADII", (0.01, 0.1))
        monkeypatch.setattr(comparison, "TOKEN_RADII", (0.01,))
        monkeypatch.setattr("pomt_ref.bounds.limits.STRONGER_STEPS", 2)
        file = tmp_path / "page.md"
        assert comparison.main(["--output", str(file), "--seeds", "1"]) == 0
        text = file.read_text(encoding="utf-8")
        assert text.count("\n## ") == 3
        assert text.count("\n| ") == 3 + 6 + 2 + 1

    def test_an_attack_that_succeeds_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pomt_ref.bounds.measuring.attacked", lambda c: ~c.undetermined)
        with pytest.raises(AssertionError, match="an attack changed a fate"):
            certified_shares(9, 2, radius=0.01, seed=0)

    def test_looser_planes_are_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def looser(box: Box, layer: AttentionLayer, *, keep: int) -> object:
            certificate = certify_tokens(Box.around(box.center, 0.1), layer, keep=keep)
            return certificate.__class__(
                certify_tokens(box, layer, keep=keep).step, *list(vars(certificate).values())[1:]
            )

        monkeypatch.setattr("pomt_ref.bounds.measuring.certify_tokens", looser)
        monkeypatch.setattr("pomt_ref.bounds.limits.STRONGER_STEPS", 2)
        with pytest.raises(AssertionError, match="planes are looser"):
            difference_drops(tokens=5, heads=2, features=2, radius=1e-3, seed=0)

    def test_other_bounds_stand_in_the_table_where_there_are_any(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stand-in that knows the interface of auto_LiRPA, and bounds by what the boxes of logits allow."""
        monkeypatch.setattr(comparison, "TOKEN_RADII", (0.01,))
        monkeypatch.setattr("pomt_ref.bounds.limits.STRONGER_STEPS", 2)
        monkeypatch.setitem(sys.modules, "auto_LiRPA", None)
        (row,) = comparison.drop_rows(seeds=1, tokens=5)
        assert row.split(" | ")[2] == "auto_LiRPA: not available"
        monkeypatch.setitem(sys.modules, "auto_LiRPA", standing_in())
        monkeypatch.setitem(sys.modules, "auto_LiRPA.perturbations", standing_in())
        (row,) = comparison.drop_rows(seeds=1, tokens=5)
        assert float(row.split(" | ")[2]) > 0

    def test_mean_of_the_maximum_is_that_of_many_points(self) -> None:
        box = Box(double(0.0, -1.0, 0.25).unsqueeze(1), double(1.0, 1.0, 0.25).unsqueeze(1))
        points = box.lo + torch.rand(3, 200_000, generator=torch.Generator().manual_seed(0)) * (box.hi - box.lo)
        assert mean_maximum(box).item() == pytest.approx(points.amax(dim=0).mean().item(), abs=2e-3)


class TestPicture:
    """Certificates of real digits, and their picture."""

    def test_main_prints_and_draws(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(certificates, "RADII", (0.02,))
        monkeypatch.setattr(certificates, "DRAWN", 1)
        threads = torch.get_num_threads()
        file = tmp_path / "folder" / "picture.png"
        assert certificates.main(["--picture", str(file)]) == 0
        torch.set_num_threads(threads)
        assert "ε = 0.02: certain in 62% of the patches" in capsys.readouterr().out
        assert file.read_bytes().startswith(b"\x89PNG")

    @pytest.mark.long
    def test_tokens_of_the_layer_are_those_the_block_reads(self) -> None:
        model, image = load_model(), load_digits("test").images[:1]
        tokens, layer = certificates.attention_input(model, image), certificates.attention_layer(model)
        certificate = certify_tokens(Box.point(tokens), layer, remove=8)
        seen = model.capture(image)
        assert certificate.step.logits is not None
        assert torch.allclose(certificate.step.logits.center.softmax(dim=-1).float(), seen.attn, atol=1e-5)
        assert torch.allclose(certificate.step.values.center.float(), seen.v, atol=1e-5)

    def test_missing_extra_is_told(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        def missing() -> DigitsViT:
            raise MissingExtraError("load_digits", "vision", "scikit-learn")

        monkeypatch.setattr(certificates, "load_model", missing)
        with pytest.raises(SystemExit, match="2"):
            certificates.main([])
        assert "pip install" in capsys.readouterr().err

    def test_missing_matplotlib_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from importlib import import_module  # noqa: PLC0415 -- only here

        monkeypatch.delitem(sys.modules, "pomt_ref.vision.fates", raising=False)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(MissingExtraError, match="fates: the package matplotlib is not installed"):
            import_module("pomt_ref.vision.fates")


class TestPaths:
    """LIN-1: what a caller may ask for, once each: attention boxes, lower planes, samples, margins, many variables."""

    def test_attention_boxes_are_certified_checked_and_refuted(self) -> None:
        attention = torch.tensor([[[[0.2, 0.5, 0.3], [0.1, 0.7, 0.2], [0.3, 0.45, 0.25]]]])
        certificate = certify(
            attention=Box.around(attention, 0.05), values=Box.point(torch.zeros(1, 1, 3, 1)), prefix=0, keep=1
        )
        assert certificate.kept.tolist() == [[False, True, False]]
        assert certificate.check()
        point = certificate.counterexample(0, 2)
        assert point.logits is None
        assert point.reverses
        assert certificate.step.attention is not None
        assert certificate.step.attention.contains(point.attention)
        sums = point.attention.amax(dim=1).sum(dim=1)[0]
        assert float(sums[0] - sums[2]) == pytest.approx(certificate.attention.lo[0, 0, 2].item(), abs=1e-12)

    @pytest.mark.parametrize("size", [1e-30, 1e-100, 1e-300, 1e-320])
    def test_tiny_attention_is_replayed_exactly(self, size: float) -> None:
        shares = torch.tensor([[1.0, 1.5, 2.0], [1.0, 0.5, 3.0], [2.0, 1.0, 1.25]], dtype=torch.float64) * size
        attention = Box(shares.reshape(1, 1, 3, 3), 1.1 * shares.reshape(1, 1, 3, 3))
        certificate = certify(attention=attention, values=Box.point(torch.zeros(1, 1, 3, 1)), prefix=0, keep=1)
        assert certificate.order[0, 2, 1]
        assert certificate.check()

    def test_samples_have_a_maximum_each(self) -> None:
        logits, values = random_step(5, 2, seed=0)
        logits, values = torch.cat([logits, 2 * logits]), torch.cat([values, values])
        certificate = certify(
            logits=Box.around(logits, 0.01), values=Box.around(values, 0.01), keep=2, normalisation="sample"
        )
        assert certificate.largest.shape == (2, 1)
        assert certificate.check()
        open_pairs = (~certificate.order[1]).nonzero().tolist()
        i, j = next((i, j) for i, j in open_pairs if i != j)
        assert certificate.counterexample(i, j, sample=1).difference <= 0

    def test_attention_run_in_float32_has_its_own_margin(self) -> None:
        logits, values = random_step(5, 2, seed=0)
        shares, values_box = Box.point(logits.softmax(dim=-1)), Box.point(values)
        of_logits = certify(logits=Box.point(logits), values=values_box, keep=2, arithmetic="float32")
        of_attention = certify(attention=shares, values=values_box, keep=2, arithmetic="float32")
        assert (of_attention.margin < of_logits.margin).all(), "expected the softmax of the logits to cost something"
        assert of_logits.mean is None

    def test_mean_row_of_a_run_in_float32_has_room_for_rounding(self) -> None:
        logits, values = random_step(5, 2, seed=0)
        x = Box.point(torch.rand(1, 5, 3, generator=torch.Generator().manual_seed(0)))
        exact, single = (
            certify(logits=Box.point(logits), values=Box.point(values), x=x, keep=1, arithmetic=each).mean
            for each in ("real", "float32")
        )
        assert exact is not None
        assert single is not None
        room = single.hi - exact.hi
        assert ((room > 1e-8) & (room < 1e-6)).all()

    def test_certificates_of_tokens_say_what_was_not_derived_again(self) -> None:
        model, image = load_model(), load_digits("test").images[:1]
        tokens, layer = certificates.attention_input(model, image)[:, :6], certificates.attention_layer(model)
        certificate = certify_tokens(Box.around(tokens, 0.02), layer, keep=2)
        replay = certificate.check()
        assert replay
        assert 0 < replay.by_planes < replay.orders

    def test_lower_planes_have_a_gap_too(self) -> None:
        box = Box(torch.zeros(2), torch.ones(2))
        assert worst_gap(relax_max(box), side="lower").item() == 1.0
        assert worst_gap(relax_max(box, upper="parallel", lower="minimax"), side="lower").item() == 0.5

    def test_maxima_of_many_variables_are_sound(self) -> None:
        generator = torch.Generator().manual_seed(0)
        first, second = torch.rand(2, 200, generator=generator, dtype=torch.float64)
        box = Box(torch.minimum(first, second), torch.maximum(first, second))
        bounds = relax_max(box, upper="minimax")
        largest = box.hi.argmax()
        worst = box.lo.clone()
        worst[largest] = box.hi[largest]
        exact = sum(
            (Fraction(a) * Fraction(x) for a, x in zip(bounds.upper_slopes.tolist(), worst.tolist(), strict=True)),
            Fraction(bounds.upper_intercept.item()),
        )
        assert exact >= Fraction(worst.max().item())

    def test_checks_of_planes_see_every_kind_of_box(self) -> None:
        generator = np.random.default_rng(0)
        for kind in planes.KINDS:
            box = planes.make_variables(kind, 4, generator)
            plane = planes.family_plane(box, box.caps[1])
            planes.holds_above(box, plane)
            planes.holds_below(box, planes.Plane((Fraction(1), *[Fraction(0)] * 3), Fraction(0)))
            middle = [(low + high) / 2 for low, high in zip(box.lower, box.upper, strict=True)]
            assert planes.envelope(box, middle) <= plane.at(middle)
            assert planes.gap_below(box, plane) <= 0

    def test_boxes_are_drawn_from_a_seed(self) -> None:
        drawn = find(planes.variables(most=3), lambda box: len(box.lower) == 3)
        assert drawn.size >= 0

    def test_main_without_a_picture_only_prints(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(certificates, "RADII", ())
        assert certificates.main([]) == 0
        assert capsys.readouterr().out == ""
