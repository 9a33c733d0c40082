"""Questions about one deployment, as a command line, a row of a table or a call puts them: names in, values out."""

import re
from difflib import get_close_matches

from advisor.catalog import Catalog
from advisor.errors import InputError
from advisor.performance.constants import engine_class
from advisor.performance.deployments import UNNUMBERED

LISTED = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}
"""Engine whose releases the catalog lists, by engine class."""
OTHERS = ("DeepSpeed", "LMDeploy TurboMind", "NVIDIA NIM (TensorRT-LLM)", "ATOM", "TGI")
"""Engines that are known beside those of the catalog."""
MEASURED_WORDS = (
    "tgi", "pytorch", "tensorflow", "flax", "onnx", "transformer", "optimum", "cloud ai", "jetstream", "mlc", "exllama",
    "awq", "gptq", "ctranslate", "gpt-fast", "shark", "llmboost", "thestage", "triton", "ngc", "cuda",
)  # fmt: skip
"""Words in the names of engines that were measured and get the constants of all engines."""
BUILDS = (*UNNUMBERED, "dev", "commit", "nim", "latest")
"""Words of a version that is a build of one's own, or another product's number."""


def check_engine(engine: str, version: str, catalog: Catalog) -> None:
    """Refuse an engine ("": the default) that nothing is known of, and a version ("": none) that it does not have.

    Raises InputError if there is no such engine, or no such release.
    """
    kind = engine_class(engine)
    engines = (*catalog.engines, *OTHERS)
    is_named = engine.lower() in {name.lower() for name in engines}
    if engine and not kind and not is_named and not any(word in engine.lower() for word in MEASURED_WORDS):
        near = get_close_matches(engine.lower(), [name.lower() for name in engines], n=1)
        guess = "".join(f"did you mean {name}? " for name in engines if name.lower() in near)
        raise InputError(
            f"engine '{engine}' is not known", where="engine", hint=f"{guess}Known: {', '.join(sorted(engines))}"
        )
    names = list(LISTED.values()) if not engine else [LISTED[kind]] if kind in LISTED else []
    if version and names and not any(_is_release(name, version, catalog) for name in names):
        raise InputError(
            f"{' or '.join(names)} has no release {version}", where="engine_version", hint=_releases(names, catalog)
        )


def _is_release(engine: str, version: str, catalog: Catalog) -> bool:
    """Whether a version shares major and minor with a listed release, or names a build that no list has."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    if match is None or any(word in version.lower() for word in BUILDS):
        return any(word in version.lower() for word in BUILDS) or bool(re.search(r"\d", version) and not match)
    asked = int(match[1]), int(match[2])
    return any(asked == (release.version.major, release.version.minor) for release in catalog.releases.of(engine))


def _releases(engines: list[str], catalog: Catalog) -> str:
    """The range of the listed releases."""
    ranges = [(engine, catalog.releases.of(engine)) for engine in engines]
    words = [f"{engine} {rows[0].version} to {rows[-1].version}" for engine, rows in ranges if rows]
    return f"listed: {', '.join(words)}; `advisor catalog refresh engines` reads newer ones"
