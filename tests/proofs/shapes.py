"""Shapes: pyrefly follows symbolic shapes through every function body, and meets what the clauses promise.

Three things must hold. Every return has the shape that its annotation promises; no step has a shape that the checker
lost; and each public function, called with arguments whose axes are all different symbols, gives the shapes claimed
below. The claims are written from the clauses: B, H, N, D, C, P, T, R as the specification names them.
"""

import ast
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.proofs import sources
from tests.proofs.shape_translation import HEADER, signatures_of, stub, translate
from tests.proofs.statement import ALL_SIZES, Statement, refute
from tests.proofs.torch_stubs import write_stubs

MODULES: Final = (
    *("types", "counting", "attention", "magnitude", "ranking", "pruning", "siblings", "tracing"),
    *("streaming.blocks", "streaming.whole", "streaming.gradients", "streaming.tiles"),
)
"""What is translated."""

IDENTITIES: Final = frozenset({"plain"})
"""Functions of contracts that give their argument back; the others return nothing."""

INPUTS: Final = {
    "x": "B N C", "attn": "B H N N", "v": "B H N D", "sums": "B n", "scores": "B n", "order": "B n", "rows": "B k",
    "discarded": "B m C", "weights": "B m",
    "q": "B H N D", "k": "B H N D", "values": "B H N E", "lse": "B H N", "upstream": "B H N E",
    "q_rows": "H r D", "q_all": "H N D", "k_all": "H N D", "v_all": "H N E", "out_rows": "H r E",
    "buffer": "r N", "spare": "r N", "head_rows": "H r N",
    "q_tile": "H r D", "k_tile": "H s D", "tile": "r s", "other_tile": "r s", "lse_all": "H N",
    "q_row": "r D", "k_row": "N D",
}  # fmt: skip
"""The shapes of arguments, by the names that the functions give them; N, P, T and R are of one layer."""


@dataclass(frozen=True)
class Claim:
    """A call, and the shape of what it gives: of the result itself, or of its fields."""

    clause: str
    call: str
    gives: Mapping[str, str]

    def as_function(self, number: int) -> str:
        """A function that makes the call with arguments of general shapes; the checker decides its assertions."""
        call = ast.parse(self.call, mode="eval").body
        assert isinstance(call, ast.Call)
        handed = [*call.args, *(each.value for each in call.keywords)]
        names = dict.fromkeys(each.id for each in handed if isinstance(each, ast.Name))
        shapes = {each: INPUTS.get(each, f"int:{each}") for each in names}
        given = [f"{each}: {form(shape)}" for each, shape in shapes.items()]
        symbols = {word for shape in shapes.values() for word in re.findall(r"\w+", shape.removeprefix("int:"))}
        checks = [f"    assert_type(got{field}, {form(shape)})" for field, shape in self.gives.items()]
        module, _, function = ast.unparse(call.func).rpartition(".")
        package, _, name = f"pomt_ref.{module}".rpartition(".")
        lines = [
            f"from {package} import {name}",
            f'@shape_vars("{", ".join(sorted(symbols))}")',
            f"def claim_{number}({', '.join(given)}) -> None:",
            f"    got = {name}.{function}{self.call.removeprefix(f'{module}.{function}')}",
            *checks,
        ]
        return "\n".join(lines) + "\n"


def form(shape: str) -> str:
    """A shape, or a number where it begins with ``int:``, in pyrefly's form."""
    kind, _, number = shape.partition(":")
    return f'Shaped[int, "{number}"]' if kind == "int" else f'Shaped[Tensor, "[{", ".join(shape.split())}]"]'


def step(clause: str, call: str, *, kept: str, discarded: str, length: str, patches: str = "N-P") -> Claim:
    """A pruning step: the four fields of its result."""
    shapes = {"tokens": f"B {length} C", "kept": f"B {kept}", "discarded": f"B {discarded}", "scores": f"B {patches}"}
    fields = {f".{name}": shape for name, shape in shapes.items()}
    return Claim(clause, call, fields)


def stages(call: str, *, kept: str, discarded: str, samples: str) -> Claim:
    """A traced step: every field of it."""
    patches = dict.fromkeys((".sums", ".attention", ".magnitude", ".scores", ".order"), "B N-P")
    return Claim(
        "POMT-PRUNE-1",
        call,
        patches
        | {".head_maximum": "B N-P N-P", ".largest": f"{samples} 1", ".value_sums": "B N", ".gap": "B"}
        | {".kept": f"B {kept}", ".discarded": f"B {discarded}", ".mean": "B 1 C", ".tokens": f"B P+{kept}+1 C"},
    )


KEEP: Final = {"kept": "T", "discarded": "N-P-T"}
REMOVE: Final = {"kept": "N-P-R-1", "discarded": "R+1"}
CLAIMS: Final = (
    Claim("POMT-ATT-1", "attention.head_maximum(attn, prefix=P)", {"": "B N-P N-P"}),
    Claim("POMT-ATT-1", "attention.attention_sums(attn, prefix=P)", {"": "B N-P"}),
    Claim("POMT-ATT-2", 'attention.largest_sum__batch(sums, normalisation="batch")', {"": "1 1"}),
    Claim("POMT-ATT-2", 'attention.largest_sum__sample(sums, normalisation="sample")', {"": "B 1"}),
    Claim("POMT-ATT-2", "attention.attention_score__batch(attn, prefix=P)", {"": "B N-P"}),
    Claim("POMT-ATT-2", "attention.attention_score__sample(attn, prefix=P)", {"": "B N-P"}),
    Claim("POMT-MAG-1", "magnitude.value_sums(v)", {"": "B N"}),
    Claim("POMT-MAG-1", "magnitude.magnitude_score(v, prefix=P)", {"": "B N-P"}),
    Claim("POMT-SCORE-1", "ranking.score__batch(attn, v, prefix=P)", {"": "B N-P"}),
    Claim("POMT-SCORE-1", "ranking.score__sample(attn, v, prefix=P)", {"": "B N-P"}),
    Claim("POMT-RANK-1", "ranking.rank(scores, prefix=P)", {"": "B n"}),
    Claim("POMT-PRUNE-2", "pruning.gather(x, rows)", {"": "B k C"}),
    Claim("POMT-PRUNE-3", "pruning.mean_row(discarded)", {"": "B 1 C"}),
    *(
        step("POMT-PRUNE-1", f"pruning.prune__keep__{each}(x, attn, v, prefix=P, keep=T)", **KEEP, length="P+T+1")
        for each in ("batch", "sample")
    ),
    *(
        step("POMT-COUNT-1", f"pruning.prune__remove__{each}(x, attn, v, prefix=P, remove=R)", **REMOVE, length="N-R")
        for each in ("batch", "sample")
    ),
    *(
        stages(f"tracing.trace__{given}__{each}(x, attn, v, prefix=P, {count})", **shape, samples=samples)
        for given, count, shape in (("keep", "keep=T", KEEP), ("remove", "remove=R", REMOVE))
        for each, samples in (("batch", "1"), ("sample", "B"))
    ),
    Claim("POMT-RANK-1", "tracing.gap_at_cut(scores, order, keep=T)", {"": "B"}),
    Claim("TOPK-1", "siblings.class_score(attn, prefix=P)", {"": "B N-P"}),
    Claim("EVIT-1", "siblings.fused_row(discarded, weights)", {"": "B 1 C"}),
    step("TOPK-1", "siblings.topk_prune__keep(x, attn, prefix=P, keep=T)", **KEEP, length="P+T"),
    step(
        "TOPK-1", "siblings.topk_prune__remove(x, attn, prefix=P, remove=R)", kept="N-P-R", discarded="R", length="N-R"
    ),
    step("EVIT-1", "siblings.evit_prune__keep(x, attn, prefix=P, keep=T)", **KEEP, length="P+T+1"),
    step("EVIT-1", "siblings.evit_prune__remove(x, attn, prefix=P, remove=R)", **REMOVE, length="N-R"),
    step(
        "POMT-PRUNE-1",
        'pruning.prune_by("prune", x, scores, prefix=P, keep=T, check="none")',
        kept="T",
        discarded="n-T",
        length="P+T+1",
        patches="n",
    ),
    Claim("POMT-ATT-1", "streaming.blocks.head_attention(q_row, k_row, buffer, scale=1.0)", {"": "r N"}),
    Claim("POMT-ATT-1", "streaming.blocks.strongest_head(q_rows, k_all, buffer, spare, scale=1.0)", {"": "r N"}),
    Claim(
        "POMT-ATT-1",
        "streaming.blocks.strongest_head_and_output(q_rows, k_all, v_all, out_rows, buffer, spare, scale=1.0)",
        {"": "r N"},
    ),
    Claim("POMT-ATT-1", "streaming.blocks.patch_sums(buffer, start=first, prefix=P)", {"": "N-P"}),
    Claim(
        "POMT-ATT-1",
        "streaming.blocks.one_pass(q, k, values, prefix=P, scale=1.0, rows=r)",
        {"[0]": "B H N E", "[1]": "B N-P"},
    ),
    Claim("POMT-ATT-1", "streaming.blocks.sums_alone(q, k, prefix=P, scale=1.0, rows=r)", {"": "B N-P"}),
    Claim("POMT-ATT-1", "streaming.blocks.row_buffer(q, rows=r)", {"": "r N"}),
    Claim("POMT-ATT-1", "streaming.whole.every_head(q_rows, k_all, head_rows, scale=1.0)", {"": "H r N"}),
    Claim(
        "POMT-ATT-1",
        "streaming.whole.whole_pass(q, k, values, prefix=P, scale=1.0)",
        {"[0]": "B H N E", "[1]": "B N-P"},
    ),
    Claim("POMT-ATT-1", "streaming.whole.whole_sums(q, k, prefix=P, scale=1.0)", {"": "B N-P"}),
    Claim("POMT-ATT-1", "streaming.whole.head_buffer(q, rows=r)", {"": "H r N"}),
    Claim(
        "POMT-ATT-1",
        "streaming.gradients.one_pass_gradients(upstream, sums, q, k, values, prefix=P, scale=1.0, rows=r)",
        {"[0]": "B H N D", "[1]": "B H N D", "[2]": "B H N E"},
    ),
    Claim("POMT-ATT-1", "streaming.gradients.winning_head(q_rows, k_all, buffer, spare, scale=1.0)", {"": "r N"}),
    Claim("POMT-ATT-1", "streaming.gradients.softmax_gradient(buffer, spare)", {"": "r N"}),
    Claim(
        "POMT-ATT-1",
        "streaming.tiles.shifted(q_all, k_all, lse_all, scale=1.0)",
        {"[0]": "H N D+1", "[1]": "H N D+1"},
    ),
    Claim("POMT-ATT-1", "streaming.tiles.strongest_in_tile(q_tile, k_tile, tile, other_tile)", {"": "r s"}),
    Claim("POMT-ATT-1", "streaming.tiles.sums_in_tiles(q, k, lse, prefix=P, scale=1.0, side=s)", {"": "B N-P"}),
    Claim("POMT-COUNT-1", "counting.kept_count(N, prefix=P, remove=R)", {"": "int:N-P-R-1"}),
    Claim("TOPK-1", "counting.kept_count(N, prefix=P, remove=R, appended=0)", {"": "int:N-P-R"}),
    Claim("POMT-COUNT-1", "counting.removed_count(N, prefix=P, keep=T)", {"": "int:N-P-T-1"}),
    Claim("TOPK-1", "counting.removed_count(N, prefix=P, keep=T, appended=0)", {"": "int:N-P-T"}),
    Claim("POMT-PRUNE-4", "counting.discarded_count(N, prefix=P, keep=T)", {"": "int:N-P-T"}),
    Claim("POMT-PRUNE-1", "counting.output_length(prefix=P, keep=T)", {"": "int:P+T+1"}),
    Claim("TOPK-1", "counting.output_length(prefix=P, keep=T, appended=0)", {"": "int:P+T"}),
)

REVEALED: Final = re.compile(r"revealed type: (?P<type>.*) \[reveal-type\]")
KNOWN: Final = re.compile(
    r"Tensor\[\[[^\]]+\]\]|Int\[(?!int\])[^\]]+\]|(Pruned|Trace)\[[^\]]+\]"
    r"|tuple\[(Int\[(?!int\])[^\]]+\]|Tensor\[\[[^\]]+\]\])(, Tensor\[\[[^\]]+\]\])*\]|dtype|bool"
)
"""A shape with every axis known, or something that has none; ``int`` as an axis is one that the checker lost."""


def checker() -> Path:
    """The pyrefly that is installed with the stubs of torch; that it is missing is an error, never a skip."""
    found = os.environ.get("POMT_PYREFLY") or shutil.which("pyrefly")
    if not found or not Path(found).exists():
        raise FileNotFoundError("pyrefly is not installed; `nox -s prove` makes its environment, or set POMT_PYREFLY")
    return Path(found)


def site_packages(pyrefly: Path) -> Path:
    """Where the stubs lie: beside the checker, in its environment."""
    (found,) = (pyrefly.parent.parent / "lib").glob("python3.*/site-packages")
    return found


def write_translation(folder: Path) -> tuple[int, int]:
    """Write all modules and the claims in pyrefly's form; answer with the numbers of steps and of promises."""
    texts = {module: sources.read(module) for module in MODULES}
    translated = {each: translate(text, signatures_of(texts)) for each, text in texts.items()}
    package = folder / "pomt_ref"
    for module, text in translated.items():
        place = package.joinpath(*module.split(".")).with_suffix(".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        (place.parent / "__init__.py").touch()
        place.write_text(text, encoding="utf-8")
    (package / "contracts.pyi").write_text(stub(sources.read("contracts"), IDENTITIES), encoding="utf-8")
    shutil.copy(sources.path_of("errors"), package)
    claims = "from torch import Tensor\n" + "".join(each.as_function(number) for number, each in enumerate(CLAIMS))
    (folder / "claims.py").write_text(HEADER + claims, encoding="utf-8")
    (folder / "pyrefly.toml").touch()
    everything = "".join(translated.values())
    return everything.count("reveal_type("), everything.count("assert_type(") + claims.count("assert_type(")


def findings() -> tuple[list[str], int, int]:
    """What the checker says against the shapes, and how many steps and promises it looked at."""
    pyrefly = checker()
    with tempfile.TemporaryDirectory(prefix="shapes") as place:
        folder = Path(place)
        write_stubs(site_packages(pyrefly), folder)
        steps, promises = write_translation(folder)
        command: list[str | Path] = [
            pyrefly,
            "check",
            "--output-format",
            "min-text",
            "--min-severity",
            "info",
            "--threads",
            "1",
        ]
        command += ["--python-interpreter-path", pyrefly.parent / "python", "--search-path", folder]
        files = sorted([folder / "claims.py", *(folder / "pomt_ref").rglob("*.py")])
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [*command, *files], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    revealed = [match["type"] for line in lines if (match := REVEALED.search(line))]
    wrong = [line for line in lines if line.startswith(("ERROR", "WARN"))]
    wrong += [f"a step has lost its shape: {each}" for each in revealed if not KNOWN.fullmatch(each)]
    if len(revealed) != steps:
        wrong.append(
            f"{steps} steps were to be looked at, {len(revealed)} were: {done.stdout[-300:]}{done.stderr[-300:]}"
        )
    return wrong, steps, promises


def prove_shapes() -> None:
    """No error, no lost shape, and as many steps seen as there are."""
    wrong, _, _ = findings()
    refute(unless=not wrong, why="; ".join(wrong[:3]))


STATEMENTS: Final = (
    Statement(
        "shapes",
        "Every step of every function has the shape that its annotation and its clause say; prune gives "
        "(B, P + T + 1, C).",
        "all POMT, TOPK-1, EVIT-1",
        "pyrefly",
        ALL_SIZES,
        prove_shapes,
    ),
)
