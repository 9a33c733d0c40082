"""Key ``adapters`` of the workload file: forms, names, and what is refused with a remedy."""

import json

import pytest

from advisor.errors import InputError
from advisor.models.model import ALL
from advisor.workload.document import read_workload

BASE = """name: tunes
model: meta-llama/Llama-3.1-8B-Instruct
demand: {declared: {requests_per_second: 6, input_tokens: 800, output_tokens: 200}}
"""


def read(tmp_path, text):
    """Adapters of a workload file."""
    (tmp_path / "workload.yaml").write_text(BASE + f"adapters: {text}\n")
    return read_workload(tmp_path / "workload.yaml").adapters


def adapter_folder(tmp_path, **changes):
    """A folder as PEFT writes it."""
    folder = tmp_path / "tuned"
    folder.mkdir()
    config = {"base_model_name_or_path": "meta-llama/Llama-3.1-8B-Instruct", "peft_type": "LORA", "r": 32} | changes
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_a_number_of_equal_adapters(tmp_path):
    """All of them active, on every linear module, unless something else is stated."""
    adapters = read(tmp_path, "{count: 24, rank: 16}")
    assert (adapters.count, adapters.rank, adapters.slots, adapters.target_modules) == (24, 16, 24, (ALL,))
    assert adapters.shares == (1 / 24,) * 24

    adapters = read(tmp_path, "{count: 24, rank: 16, target_modules: [v_proj, q_proj], active: 8}")
    assert (adapters.slots, adapters.target_modules) == (8, ("q_proj", "v_proj"))
    assert read(tmp_path, "{count: 2, rank: 16, target_modules: all-linear}").target_modules == (ALL,)


def test_a_list_of_adapters(tmp_path):
    """The largest rank and all modules count; shares that are not stated are those that are left."""
    adapter_folder(tmp_path)
    adapters = read(tmp_path, "[{id: acme/sql, rank: 16, share: 0.4, target_modules: [q_proj]}, {path: tuned}]")
    sql, tuned = adapters.named

    assert (adapters.count, adapters.rank, adapters.target_modules) == (2, 32, (ALL,))
    assert (sql.served_name, sql.on_hub, tuned.served_name, tuned.on_hub) == ("sql", True, "tuned", False)
    assert adapters.shares == pytest.approx((0.4, 0.6))
    named = read(tmp_path, "{active: 1, named: [{id: acme/sql, rank: 16}, {id: acme/tuned, path: tuned}]}")
    assert (named.slots, named.named[1].on_hub, named.named[1].rank) == (1, True, 32)


@pytest.mark.parametrize(
    ("text", "words", "remedy"),
    [
        ("{count: 24}", "the rank of the adapters is not stated", "rank: 16"),
        ("{rank: 16}", "how many adapters there are", "count: 24"),
        ("{count: 0, rank: 16}", "out of range", ""),
        ("{count: 4, rank: 0}", "out of range", ""),
        ("{count: 4, rank: sixteen}", "not a whole number", ""),
        ("{count: 4, rank: 16, active: 5}", "5 adapters cannot be active, there are 4", "at most 4"),
        ("{count: 4, rank: 16, target_modules: [c_attn]}", "unknown value 'c_attn'", "q_proj"),
        ("{count: 4, rank: 16, ranks: 3}", "unknown key 'ranks'", ""),
        ("{count: 4, rank: 16, named: [{id: a/b, rank: 8}]}", "count follows from the adapters", "take count out"),
        ("16", "expected a mapping", ""),
        ("[]", "the list is empty", ""),
        ("[{rank: 8}]", "an adapter without a name", "id on the hub"),
        ("[{id: a/b}]", "the rank of a/b is not stated", "adapter_config.json"),
        ("[{id: 'a/../b', rank: 8}]", "is not the name of an adapter", ""),
        ("[{id: 'a/..', rank: 8}]", "is not the name of an adapter", ""),
        ("[{id: '$(id)', rank: 8}]", "is not the name of an adapter", ""),
        ("[{id: a/b, rank: 8}, {id: c/b, rank: 8}]", "two adapters would be served as b", "rename"),
        ("[{id: a/b, rank: 8, share: 0.7}, {id: a/c, rank: 8, share: 0.7}]", "sum to 1.4", ""),
        ("[{path: nowhere}]", "there is no adapter", "adapter_config.json"),
        ("[{path: tuned, rank: 8}]", "its folder says rank 32", "take rank out"),
    ],
)
def test_mistakes_are_told_with_a_remedy(tmp_path, text, words, remedy):
    """File, line and field of each."""
    adapter_folder(tmp_path)
    with pytest.raises(InputError) as refused:
        read(tmp_path, text)

    assert words in refused.value.message
    assert remedy in refused.value.hint
    assert refused.value.where.startswith(f"{tmp_path / 'workload.yaml'}:4: adapters")


@pytest.mark.parametrize("changes", [{"peft_type": "LOHA"}, {"use_dora": True}, {"r": None}])
def test_a_folder_of_another_kind_is_refused_at_its_line(tmp_path, changes):
    """As find_model refuses it."""
    adapter_folder(tmp_path, **changes)
    with pytest.raises(InputError, match="this is an adapter") as refused:
        read(tmp_path, "[{path: tuned}]")
    assert ":4: adapters[0].path" in refused.value.where
