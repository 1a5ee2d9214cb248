"""Our own tasks on files that are not quite theirs: nothing is lost or taken for something else without a word."""

from __future__ import annotations

import csv

import pytest

from loomwork.core.errors import InputError
from loomwork.data.read import read
from loomwork.evals.tasks.documents import read_documents
from loomwork.evals.tasks.find import find_task
from loomwork.evals.tasks.prompt import Prompts

MMLU = [[f"What is {i} + 1?", i, i + 1, i + 2, i + 3, "B"] for i in range(4)]


@pytest.fixture
def read_csv(tmp_path, run_step):
    def make(rows, **settings):
        with (tmp_path / "rows.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return run_step(read, path=str(tmp_path / "rows.csv"), **settings)[0]

    return make


def items(name, data, examples=None, num_fewshot=0):
    task = find_task(name)
    documents = read_documents(task, data, examples, num_fewshot=num_fewshot)
    return list(Prompts(task, documents.evaluated, documents.pool, num_fewshot=num_fewshot))


def test_mmlu_s_first_question_is_not_taken_for_the_columns_names(read_csv):
    with pytest.raises(
        InputError, match=r"names of a question, 'What is 0 \+ 1\?': the file has no header\n.*header=no"
    ):
        items("mmlu", read_csv(MMLU))
    assert len(items("mmlu", read_csv(MMLU, header=False))) == 4
    assert len(items("mmlu", read_csv([["Question", *"ABCD", "Answer"], *MMLU]))) == 4  # a header of words is one
    with pytest.raises(InputError, match="the columns are text, label"):
        items("mmlu", read_csv([["text", "label"], ["x", "y"]]))
    with pytest.raises(InputError, match="the last column, 'key', is not the letter of an answer: 'E'"):
        items("mmlu", read_csv([["q", "1", "2", "3", "4", "key"], [*MMLU[0][:5], "E"]]))


def test_mmlu_s_examples_are_another_file(read_csv):
    asked = read_csv(MMLU, header=False)
    shown = read_csv([["Which is hot?", "ice", "fire", "snow", "hail", "B"]], header=False)
    context = items("mmlu", asked, shown, num_fewshot=1)[0].requests[0].context
    assert context.startswith("Which is hot?\nA. ice\nB. fire\nC. snow\nD. hail\nAnswer: B\n\nWhat is 0 + 1?")


def test_truthfulqa_s_solved_questions_are_no_part_of_the_question(read_csv):
    rows = [["Question", "Best Answer", "Correct Answers", "Incorrect Answers"], ["Who?", "I", "I; me", "You; they"]]
    for name in ("truthfulqa_mc1", "truthfulqa_mc2"):
        item = items(name, read_csv(rows))[0]
        assert item.question == "Q: Who?\nA:"
        assert item.requests[0].context.startswith("Q: What is human life expectancy in the United States?\nA: Human")
        assert item.requests[0].context.endswith("The 1992 Olympics were held in Barcelona, Spain.\n\nQ: Who?\nA:")


def test_lists_that_csv_made_texts_are_refused(read_csv):
    header = ["activity_label", "ctx_a", "ctx_b", "endings", "label"]
    with pytest.raises(InputError, match="`endings` is a text, not a list"):
        items("hellaswag", read_csv([header, ["Cooking", "A man cooks.", "he", "['eats', 'flies']", 1]]))
    with pytest.raises(
        InputError, match=r"document 0: doc_to_target fails: TypeError.*\n.*its columns: question, choices"
    ):
        items("arc", read_csv([["question", "choices", "answerKey"], ["Hot?", "['ice', 'fire']", "B"]]))


@pytest.mark.parametrize(("answer", "right"), [("True", 1), ("false", 0), ("yes", 1), ("1", 1), ("perhaps", None)])
def test_boolq_s_words(answer, right, make_dataset):
    data = make_dataset([{"question": "is fire hot", "passage": "Fire is hot.", "answer": answer}])
    if right is not None:
        assert items("boolq", data)[0].gold == right
    else:
        with pytest.raises(InputError, match="'perhaps' is no answer of BoolQ"):
            items("boolq", data)
