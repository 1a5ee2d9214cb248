"""Task files: what is read, what is refused and where, and how many of those that lm-eval ships load."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loomwork.core.errors import RecipeError
from loomwork.evals.tasks.keys import read_keys
from loomwork.evals.tasks.task import Generation, Group, Member, Task
from loomwork.evals.tasks.task_file import load, load_task

LEAST_SHARE = 0.9
PLAIN = """\
task: plain
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
doc_to_text: "Q: {{q}}"
doc_to_target: "{{a}}"
output_type: generate_until
"""


def has_function(file: Path) -> bool:
    """Whether a file, or one that it includes, names a function; a plain search, apart from the reader."""
    text = file.read_text("utf-8")
    if "!function" in text:
        return True
    names = re.findall(r"""^["']?include["']?:[ ]*["']?([^"'\s]+)""", text, re.MULTILINE)
    names += (
        re.findall(r"^  - ([\w./-]+)$", text, re.MULTILINE) if re.search(r"^include:\s*$", text, re.MULTILINE) else []
    )
    return any(has_function(file.parent / name) for name in names if (file.parent / name).is_file())


def test_of_the_files_that_lm_eval_ships_nine_in_ten_load(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file without `!function`, in itself or what it includes, that is a task or a group."""
    loaded, refused = Counter[str](), Counter[str]()
    for file in sorted(shipped.rglob("*.yaml")):
        if has_function(file):
            continue
        try:
            found = load(file)
            loaded["groups" if isinstance(found, Group) else "tasks"] += 1
        except RecipeError as error:
            if "needs the key 'task'" not in error.what:  # what others include is no task
                refused[error.what.split(": ", 1)[1][:70]] += 1
    share = loaded.total() / (loaded.total() + refused.total())
    with capsys.disabled():
        print(
            f"\n{loaded.total()} of {loaded.total() + refused.total()} task files of lm-eval 0.4.13 without !function"
        )
        print(f"load ({share:.1%}): {dict(loaded)}; refused: {dict(refused)}")
    assert loaded["tasks"] > 4000
    assert loaded["groups"] > 700
    assert share >= LEAST_SHARE


def test_groups_and_inline_groups(shipped: Path) -> None:
    mmlu = load(shipped / "mmlu/default/_mmlu.yaml")
    assert isinstance(mmlu, Group)
    assert mmlu.members[0] == Member("mmlu_stem", {})
    assert (mmlu.metrics[0].metric, mmlu.metrics[0].weight_by_size) == ("acc", True)
    inner = load(shipped / "bbh/cot_fewshot/_bbh_cot_fewshot.yaml")
    assert isinstance(inner, Group)
    assert len(inner.members) == 27
    with pytest.raises(RecipeError, match="is a group of tasks"):
        load_task(shipped / "mmlu/default/_mmlu.yaml")


def test_an_included_file_lies_beneath(write) -> None:
    write("base.yaml", PLAIN.replace("plain", "base") + "num_fewshot: 5\ntarget_delimiter: ''\n")
    task = load_task(write("sub/top.yaml", "include: ../base.yaml\ntask: top\nnum_fewshot: 2\n"))
    assert (task.name, task.num_fewshot, task.target_delimiter) == ("top", 2, "")
    assert [f.name for f in task.files] == ["top.yaml", "base.yaml"]


def test_two_files_may_include_the_same_third(write) -> None:
    write("base.yaml", PLAIN)
    write("one.yaml", "include: base.yaml\nrepeats: 2\n")
    write("two.yaml", "include: base.yaml\nnum_fewshot: 1\n")
    task = load_task(write("top.yaml", "include: [one.yaml, two.yaml]\ntask: top\n"))
    assert (task.repeats, task.num_fewshot) == (2, 1)


def test_plain_words_are_text_as_yaml_1_2_has_them(write) -> None:
    text = PLAIN + "doc_to_choice: [no, yes]\ndataset_name: no\ntask_alias: !!null\nmetadata: {version: 1.0}\n"
    task = load_task(write("t.yaml", text.replace("generate_until", "multiple_choice")))
    assert task.doc_to_choice == ["no", "yes"]
    assert task.source.name == "no"
    assert task.metadata == {"version": 1.0}
    assert [m.name for m in task.metrics] == ["acc", "acc_norm"]  # by default


@pytest.mark.parametrize(
    ("kwargs", "wanted"),
    [
        ("", Generation(("\n\n",))),
        ("generation_kwargs: {}", Generation(("\n\n",))),
        ("generation_kwargs: {until: []}", Generation(())),
        ('generation_kwargs: {until: "\\n", max_gen_toks: 8}', Generation(("\n",), 8)),
        (
            "generation_kwargs: {until: [a], max_new_tokens: 9, do_sample: false, temperature: 0.7}",
            Generation(("a",), 9),
        ),
        ("generation_kwargs: {temperature: 0.5, top_p: 0.9}", Generation(("\n\n",), 256, 0.5, 0.9)),
        ("generation_kwargs: {do_sample: true}", Generation(("\n\n",), temperature=1.0)),
    ],
)
def test_generation_settings(write, kwargs: str, wanted: Generation) -> None:
    assert load_task(write("t.yaml", PLAIN + kwargs + "\n")).generation == wanted


BAD: list[tuple[str, int, str]] = [
    ("doc_to_txt: x", 8, r"doc_to_txt: is not a key of a task file\n  did you mean 'doc_to_text'"),
    (
        "metric_list: [{metric: exact_mach}]",
        8,
        r"'exact_mach' is no metric of generate_until tasks\n  did you mean 'exact_match'",
    ),
    ("metric_list: [{metric: acc}]", 8, "'acc' is no metric of generate_until tasks"),
    ("metric_list: [{metric: bleu, aggregation: meen}]", 8, r"'meen' is none\n  did you mean 'mean'"),
    (
        "metric_list: [{metric: exact_match, ignore_cases: true}]",
        8,
        r"is no setting of exact_match.*\n  did you mean 'ignore_case'",
    ),
    ("metric_list: [{aggregation: mean}]", 8, "metric: is missing"),
    ("metric_list: []", 8, "is empty"),
    ("filter_list: [{name: x, filter: [{function: regexp}]}]", 8, r"'regexp' is no filter\n  did you mean 'regex'"),
    ("filter_list: [{name: x, filter: [{function: regex, regex_pattern: '('}]}]", 8, "is no regular expression"),
    ("filter_list: [{name: x, filter: [{function: take_first, k: 2}]}]", 8, "k: is no setting of take_first"),
    ("filter_list: [{name: x, filter: [{function: take_first_k}]}]", 8, "needs the setting 'k'"),
    ("filter_list: [{filter: [{function: take_first}]}]", 8, "each entry has a `name`"),
    ("generation_kwargs: {untill: x}", 8, r"generation_kwargs.untill.*\n  did you mean 'until'"),
    ("generation_kwargs: {top_k: 5}", 8, "top_k: is not supported"),
    ("generation_kwargs: {top_p: 2}", 8, "is above 0 and at most 1"),
    ("generation_kwargs: {num_beams: 4}", 8, "beam search is not supported"),
    ("generation_kwargs: {max_gen_toks: none}", 8, "takes a whole number"),
    ("fewshot_config: {sampler: balanced}", 8, "'balanced' is none"),
    ("fewshot_config: {fewshot_indices: [1]}", 8, "reads it and does not use it"),
    ("fewshot_config: {samples: [1, 2]}", 8, "takes a list of documents"),
    ("num_fewshot: -1", 8, "takes a whole number of at least 0, not -1"),
    ("repeats: 0", 8, "at least 1"),
    ("should_decontaminate: maybe", 8, "is true or false, not 'maybe'"),
    ("doc_to_image: image", 8, "is not supported: tasks with images"),
    ("unsafe_code: true", 8, "runs code that the model wrote"),
    ("gen_prefix: '{{ x'", 8, "is not Jinja"),
    ("process_docs: utils.process", 8, "takes a function"),
    ("test_split: other", 8, "'test_split' is here twice"),
    ("metadata: !!python/object:os.system {}", 8, "is not allowed"),
    ("metadata: !!python/object/apply:os.system [ls]", 8, "is not allowed"),
    ("include: nothing.yaml", 8, "there is no file"),
    ("include: t.yaml", 8, "includes form a circle: t.yaml -> t.yaml"),
    ("doc_to_choice: [a, b]\noutput_type: multiple_choice", 9, "'output_type' is here twice"),
]


@pytest.mark.parametrize(("line", "number", "said"), BAD, ids=[b[0][:50] for b in BAD])
def test_what_is_refused_says_file_line_and_what_to_do(write, line: str, number: int, said: str) -> None:
    path = write("t.yaml", PLAIN + line + "\n")
    with pytest.raises(RecipeError, match=f"(?s){said}") as caught:
        load(path)
    assert f"t.yaml:{number}: " in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("generate_until", "generate", r"t.yaml:7: output_type: 'generate' is none\n  did you mean 'generate_until'"),
        ("generate_until", "multiple_choice", "multiple_choice needs `doc_to_choice`"),
        ("generate_until\n", "loglikelihood\nrepeats: 3\n", r"t.yaml:8: repeats: loglikelihood tasks generate nothing"),
        ("test_split: test\n", "", "needs a `test_split` or a `validation_split`"),
        ("dataset_path: json\n", "", "a task needs the key 'dataset_path'"),
        ('"Q: {{q}}"', '"Q: {{q}"', "t.yaml:5: doc_to_text: line 1 of the template is not Jinja"),
        (PLAIN, "- a\n", "a task file is a mapping"),
        (PLAIN, "a: [\n", "not YAML"),
    ],
)
def test_a_faulty_file_is_refused(write, old: str, new: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load(write("t.yaml", PLAIN.replace(old, new)))


def test_a_circle_of_includes_is_named(write) -> None:
    write("b.yaml", "include: c.yaml\n")
    write("c.yaml", "include: a.yaml\n")
    with pytest.raises(RecipeError, match=r"c.yaml:1: includes form a circle: .*b.yaml -> c.yaml -> a.yaml"):
        load(write("a.yaml", PLAIN + "include: b.yaml\n"))


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no task file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"task: \xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load(tmp_path / "bytes.yaml")


WITH_FUNCTION = PLAIN.replace('"{{a}}"', "!function utils.target")


def test_functions_only_of_trusted_files(write, tmp_path: Path) -> None:
    path = write("t.yaml", WITH_FUNCTION)
    write(
        "utils.py",
        "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\ndef target(doc): return doc['a'] * 2\n",
    )
    with pytest.raises(
        RecipeError, match=r"t.yaml:6: `!function utils.target` runs the code of utils.py\n.*trust=true"
    ):
        load(path)
    assert not (tmp_path / "ran").exists()  # nothing ran
    task = load_task(path, trust=True)
    assert (tmp_path / "ran").exists()
    assert callable(task.doc_to_target)
    assert task.doc_to_target({"a": "x"}) == "xx"
    assert [f.name for f in task.files] == ["t.yaml", "utils.py"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (None, "there is no file"),
        ("def targets(doc): return 1\n", r"has no 'target'\n  did you mean 'targets'"),
        ("raise OSError('broken')\n", "failed: OSError: broken"),
        ("import no_such_module_here\n", "failed: ModuleNotFoundError"),
    ],
)
def test_functions_that_cannot_be_loaded(write, code: str | None, said: str) -> None:
    path = write("t.yaml", WITH_FUNCTION)
    if code is not None:
        write("utils.py", code)
    with pytest.raises(RecipeError, match=said) as caught:
        load(path, trust=True)
    assert "t.yaml:6: " in str(caught.value)


def test_an_included_function_is_refused_at_its_own_line(write) -> None:
    write("base.yaml", WITH_FUNCTION)
    with pytest.raises(RecipeError, match=r"base\.yaml:6: `!function"):
        load(write("top.yaml", "include: base.yaml\ntask: top\n"))


def test_reading_needs_no_heavy_library(write) -> None:
    path = write("t.yaml", PLAIN)
    code = "import sys; from loomwork.evals.tasks.task_file import load; load(sys.argv[1]); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert not {"'torch'", "'transformers'", "'datasets'", "'sacrebleu'", "'lm_eval'"} & set(
        loaded.strip("[]\n").split(", ")
    )


def test_a_group_changes_its_members(write) -> None:
    write("t.yaml", PLAIN)
    group = load(write("g.yaml", "group: g\ntask:\n  - task: plain\n    num_fewshot: 3\n  - other\n"))
    assert isinstance(group, Group)
    first = group.members[0]
    assert isinstance(first, Member)
    changed = load_task(write("t.yaml", PLAIN), changes=first.changes)  # type: ignore[arg-type]
    assert changed.num_fewshot == 3
    bad: Any = read_keys(write("bad.yaml", "num_fewshot: x\n"), False).tree
    with pytest.raises(RecipeError, match="takes a whole number"):
        load(write("t.yaml", PLAIN), changes=bad)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("group: g\n", "a group needs `task`"),
        ("group: g\ntask: [{dataset_path: json}]\n", "a member is a name"),
        ("group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, aggregation: median}]\n", "of a group is `mean`"),
        ("group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, weight_by_size: 2}]\n", "is true or false"),
    ],
)
def test_faulty_groups(write, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load(write("g.yaml", text))


def test_trusted_files_of_lm_eval_load(shipped: Path) -> None:
    """A few with functions of every kind: of documents, choices, metrics, aggregations and filters."""
    files = [
        "hellaswag/hellaswag.yaml",
        "winogrande/default.yaml",
        "wikitext/wikitext.yaml",
        "bbh/zeroshot/boolean_expressions.yaml",
    ]
    files += ["super_glue/cb/default.yaml", "bbh/zeroshot/sports_understanding.yaml", "truthfulqa/truthfulqa_mc1.yaml"]
    for name in files:
        assert isinstance(load(shipped / name, trust=True), Task)
