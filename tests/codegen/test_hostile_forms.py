"""Hostile words in a stack never change the structure of what a form writes for Kubernetes, and come back as they are."""

import dataclasses
from functools import cache

import pytest
import yaml

from advisor.codegen import Form, Language, Wanted, generate
from advisor.codegen.forms import kubernetes_files
from advisor.codegen.kubernetes import ClusterFacts
from advisor.codegen.selection import of_fleet
from advisor.codegen.stack import stacks_of
from advisor.errors import AdvisorError
from codegen.kubernetes_texts import as_read
from codegen.plans import HOSTILE, make_fleet_plan, make_group, make_option, make_plan

WORDS = {
    "quotes": """--x='"`'\\"\\\\""",
    "lines": "--x=a\nkind: Secret\r\n---\n- b\u2028c\x85d",
    "variables": "$(HOME) ${HOME} $HOME $$(A) %{if} {{ .Values.x }} {% raw %} <no value>",
    "yaml": "!!python/object:os.system &a *a <<: {a: [b, c]} # d ? e | > @ % `",
    "numbers": "0x1f 1e3 .inf",
    "null": "null",
    "yes": "yes",
    "merge": "<<",
    "spaces": "  a\t b  ",
    "long": "--x=" + "a b'\"" * 2500,
    "everything": HOSTILE.replace("\x00", ""),
}
PLAIN = "--plain"


def shape(value):
    """Keys and kinds of all that a document holds, without its texts."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    return [shape(entry) for entry in value] if isinstance(value, list) else type(value)


def texts(value):
    """Every text of a document."""
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, str) else [text for entry in entries for text in texts(entry)]


@cache
def usual():
    """The stack of a cluster on EKS."""
    plan = make_fleet_plan(make_group())
    (stack,) = stacks_of(plan, of_fleet(plan.fleet), Wanted(target="eks"))
    return stack


def documents(files):
    """Path → documents of each file of YAML."""
    return {path: list(yaml.safe_load_all(text)) for path, text in files.items() if path.endswith((".yaml", ".yml"))}


def with_word(form, word):
    """Documents of a form whose engine is given *word* as argument, variable and part of the model's name."""
    (backend,) = usual().backends
    container = dataclasses.replace(
        backend.container,
        arguments=(*backend.container.arguments, word),
        environment={"TUNING": word},
        checkpoint=dataclasses.replace(backend.container.checkpoint, model_id=f"org/{word}"),
    )
    stack = dataclasses.replace(usual(), form=form, backends=(dataclasses.replace(backend, container=container),))
    return documents(kubernetes_files(stack, ClusterFacts()))


@pytest.mark.parametrize("form", Form)
def test_words_change_no_structure_and_come_back(form):
    """Quotes, line ends, templates of Helm and Kubernetes, marks of YAML, ten thousand characters."""
    plain = shape(with_word(form, PLAIN))
    for name, word in WORDS.items():
        hostile = with_word(form, word)
        assert shape(hostile) == plain, name
        assert word in {as_read(text) for path in hostile for one in hostile[path] for text in texts(one)}


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("word", [WORDS["everything"], WORDS["long"]], ids=["everything", "long"])
def test_names_of_workloads_and_models_are_quoted_or_refused(form, word):
    """From a plan to the objects: whatever is refused is refused in words."""
    wanted = Wanted(target="eks", form=form)

    def shapes(name):
        files = generate(make_plan(make_option(), model=f"org/{name}", name=name), Language.TERRAFORM, wanted).files
        return {path: shape(each) for path, each in documents(files).items()}

    if form in (Form.MANIFESTS, Form.INFERENCE_POOL, Form.LLM_D):
        assert shapes(word) == shapes("model of ours")
        return
    with pytest.raises(AdvisorError, match="needs the name of a checkpoint on a hub") as refused:
        shapes(word)
    assert refused.value.where == f"--form {form}"


def test_an_image_is_a_reference_or_refused():
    """No text that is no reference of an image reaches the code."""
    for name in WORDS.keys() - {"null", "yes"}:
        with pytest.raises(AdvisorError, match="--image"):
            generate(make_fleet_plan(make_group()), wanted=Wanted(target="eks", image=f"registry/{WORDS[name]}"))
