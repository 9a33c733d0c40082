"""Accelerators, machines and engines: figures that must be right for a plan to be right."""

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Quality, Support

CATALOG = load_catalog()
PRECISIONS = ("fp32", "bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4")


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        (7.5, "T4 T4G"),
        (8.0, "A100-40GB-SXM A100-80GB-SXM A100-80GB-PCIe A30"),
        (8.6, "A10 A10G RTX-3090 A40 RTX-A6000"),
        (8.9, "L4 L40 L40S RTX-4090"),
        (9.0, "H100-SXM H100-PCIe H100-NVL H200 GH200"),
        (10.0, "B200 GB200"),
        (10.3, "B300 GB300"),
        (12.0, "RTX-PRO-6000 RTX-PRO-4500 RTX-5090"),
        (None, "MI300X Trainium2 Gaudi3 TPU-v6e"),
    ],
)
def test_compute_capability(capability, names):
    """CUDA compute capability is exact for each part, and no other vendor has one."""
    assert {CATALOG.accelerator(name).compute_capability for name in names.split()} == {capability}


def test_every_nvidia_part_has_a_compute_capability():
    """Engines decide by it, so none may lack it."""
    for accelerator in CATALOG.accelerators.values():
        assert (accelerator.compute_capability is not None) == (accelerator.vendor == "nvidia"), accelerator


@pytest.mark.parametrize(
    ("name", "fp16_tflops"),
    [("H100-SXM", 989.5), ("A100-80GB-SXM", 312), ("MI300X", 1307.4), ("TPU-v6e", 918), ("L4", 121), ("T4", 65)],
)
def test_peaks_are_dense(name, fp16_tflops):
    """Tensor peaks are without sparsity: half of what many pages print."""
    assert CATALOG.accelerator(name).fp16_tflops == pytest.approx(fp16_tflops, rel=0.01)


@pytest.mark.parametrize(
    ("name", "memory_gib"),
    [("Trainium2", 96), ("H100-SXM", 79.19), ("A10G", 22.35), ("L4", 22.35), ("T4", 14.56), ("Inferentia2", 32)],
)
def test_memory_is_what_software_sees(name, memory_gib):
    """Memory is the total that a program finds: an 80 GB board has 79 GiB, a 24 GB board with ECC 22."""
    assert CATALOG.accelerator(name).memory_gib == memory_gib


def test_accelerator_figures_are_plausible():
    """Bandwidth, peaks and memory stay in physical ranges, and a narrower format is never slower."""
    for part in CATALOG.accelerators.values():
        assert 0 < part.memory_gib <= 300
        assert 50 <= part.memory_bandwidth_gb_per_second <= 80_000
        if part.fp8_tflops is not None and part.fp16_tflops is not None:
            assert part.fp8_tflops >= part.fp16_tflops, part
        if part.fp32_tflops is not None and part.fp16_tflops is not None and part.vendor == "nvidia":
            assert part.fp16_tflops >= part.fp32_tflops, part


def test_memory_of_machines_agrees_with_their_accelerator():
    """What a provider states for one accelerator is within a tenth of what software sees."""
    stated = [one for one in CATALOG.instance_types.values() if one.accelerator_memory_gib is not None]
    assert len(stated) > 200
    for machine in stated:
        seen = CATALOG.accelerator(machine.accelerator).memory_gib
        assert machine.accelerator_memory_gib == pytest.approx(seen, rel=0.11), machine


@pytest.mark.parametrize(
    ("provider", "name", "architecture"),
    [
        ("aws", "g5g.xlarge", "arm64"),
        ("gcp", "a4x-highgpu-4g", "arm64"),
        ("azure", "Standard_ND128isr_NDR_GB200_v6", "arm64"),
        ("aws", "p5.48xlarge", "x86_64"),
        ("azure", "Standard_NC24ads_A100_v4", "x86_64"),
    ],
)
def test_processor_architecture(provider, name, architecture):
    """Grace and Graviton hosts need other container images."""
    assert CATALOG.instance_type(provider, name).cpu_architecture == architecture


@pytest.mark.parametrize(
    ("name", "count"), [("NC36ds", 0.25), ("NC24lds", 0.25), ("NC72lds", 0.5), ("NC144ds", 1), ("NC288lds", 2)]
)
def test_azure_quarters_of_a_gpu_are_no_whole_gpus(name, count):
    """Azure shows a quarter of an RTX PRO 6000 as one device; the catalog counts what it is."""
    assert CATALOG.instance_type("azure", f"Standard_{name}_xl_RTXPRO6000BSE_v6").accelerator_count == count


def test_gpus_of_sizes_that_nobody_documents_are_unknown():
    """A size that only the price list names has no invented number of GPUs."""
    assert CATALOG.instance_type("azure", "Standard_NC132ds_xl_RTXPRO6000BSE_v6").accelerator_count is None


def test_an_attached_gpu_is_no_machine():
    """The price of a GPU to attach has no processors and no memory of its own."""
    attached = [machine for (_, name), machine in CATALOG.instance_types.items() if name.startswith("attach:")]
    assert len(attached) == 4
    assert {(machine.vcpus, machine.memory_gib, machine.accelerator_count) for machine in attached} == {(None, None, 1)}


def test_sold_accelerators_are_judged_for_every_precision():
    """For each accelerator that anyone rents out by the hour some engine answers for all eight precisions."""
    exempt = {"AI100"}
    for name in {machine.accelerator for machine in CATALOG.instance_types.values()} - exempt:
        for precision in PRECISIONS:
            assert CATALOG.engine_support(name, precision), (name, precision)


@pytest.mark.parametrize(
    ("accelerator", "precision", "engine", "support", "compute_precision"),
    [
        ("T4", "bf16", "vLLM", Support.NO, ""),
        ("T4", "fp16", "vLLM", Support.NATIVE, "fp16"),
        ("T4", "int4", "vLLM", Support.SUPPORTED, "fp16"),
        ("V100-16GB", "fp16", "vLLM", Support.NO, ""),
        ("A100-80GB-SXM", "fp8", "vLLM", Support.EMULATED, "bf16"),
        ("A100-80GB-SXM", "int8", "vLLM", Support.NATIVE, "int8"),
        ("L4", "fp8", "vLLM", Support.NATIVE, "fp8"),
        ("H100-SXM", "int4", "vLLM", Support.SUPPORTED, "bf16"),
        ("B200", "int8", "vLLM", Support.NO, ""),
        ("B200", "nvfp4", "vLLM", Support.NATIVE, "nvfp4"),
        ("MI300X", "fp8", "vLLM", Support.NATIVE, "fp8"),
        ("Inferentia2", "bf16", "vLLM-NxDI", Support.NATIVE, "bf16"),
        ("Inferentia2", "fp8", "vLLM-NxDI", Support.UNTESTED, ""),
        ("Trainium3", "mxfp4", "vLLM-Neuron", Support.NATIVE, "mxfp4"),
        ("Gaudi1", "bf16", "vLLM-Gaudi", Support.NO, ""),
        ("Gaudi3", "fp8", "vLLM-Gaudi", Support.NATIVE, "fp8"),
        ("TPU-v6e", "int8", "vLLM-TPU", Support.NATIVE, "int8"),
        ("TPU-v6e", "fp8", "vLLM-TPU", Support.NO, ""),
    ],
)
def test_what_an_engine_does_with_a_precision(accelerator, precision, engine, support, compute_precision):
    """Support and arithmetic precision are those of the engine's own documents."""
    first = CATALOG.engine_support(accelerator, precision)[0]
    assert (first.engine, first.support, first.compute_precision) == (engine, support, compute_precision)


def test_where_an_engine_runs_it_says_in_which_precision_it_computes():
    """Only a combination that does not run has no arithmetic precision; native is native."""
    for accelerator in CATALOG.accelerators:
        for precision in PRECISIONS:
            for row in CATALOG.engine_support(accelerator, precision):
                runs = row.support in {Support.NATIVE, Support.SUPPORTED, Support.EMULATED}
                assert runs == bool(row.compute_precision), row
                if row.support is Support.NATIVE:
                    assert row.compute_precision == precision


def test_a_generation_without_bf16_never_computes_in_it():
    """Turing has no bf16 units, so nothing that runs there is widened to it."""
    rows = [row for precision in PRECISIONS for row in CATALOG.engine_support("T4", precision)]
    assert rows
    assert not [row for row in rows if row.compute_precision == "bf16"]


def test_nothing_recalled_passes_for_listed():
    """A figure whose source was not read is marked as such."""
    for accelerator in CATALOG.accelerators.values():
        recalled = accelerator.provenance.source.endswith("recalled")
        assert recalled == (accelerator.provenance.quality is Quality.RECALLED), accelerator
