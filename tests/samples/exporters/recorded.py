"""Short metrics pages, with names and labels as the sources named in the table have them."""

import re

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", re.ASCII)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def samples(page):
    """Names, labels and values of a page."""
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = _LINE.match(line).groups()
            yield name, dict(_LABEL.findall(labels or "")), float(value)


def histogram(name, labels, mean, count=240, unit=1.0):
    """A cumulative histogram of *count* observations of one size."""
    bounds = (mean * 0.5, mean, mean * 2)
    separator = "," if labels else ""
    lines = [
        f'{name}_bucket{{{labels}{separator}le="{bound * unit}"}} {count if bound >= mean else 0}' for bound in bounds
    ]
    lines += [f'{name}_bucket{{{labels}{separator}le="+Inf"}} {count}']
    braces = f"{{{labels}}}" if labels else ""
    return "\n".join([*lines, f"{name}_sum{braces} {mean * count * unit}", f"{name}_count{braces} {count}", ""])


_TELEGRAF = (
    'arch="Hopper",compute_mode="Default",host="gpu-7",index="1",name="NVIDIA H100 80GB HBM3",pstate="P0",uuid="GPU-f9"'
)
_OPS = 'gpu_number="0",instance_id="4520",model="NVIDIA L4",monitored_resource="gce_instance",project_id="p",uuid="GPU-05",zone="a"'
_GKE = 'accelerator_id="GPU-0a",cluster_name="c",location="l",make="nvidia",model="NVIDIA L4",node_name="gke-1",project_id="p"'
_PLUGIN = 'accelerator_id="GPU-0b",instance="10.0.0.8:2112",make="nvidia",model="NVIDIA L4"'
_AMD = (
    'card_model="AMD Instinct MI300X",container="",deployment_mode="baremetal",gpu_compute_partition_type="spx",'
    'gpu_id="3",gpu_memory_partition_type="nps1",gpu_partition_id="0",hostname="mi-1",namespace="",pod="",serial_number="69"'
)
_GAUDI = (
    'Serial="AN",UUID="01P0-HL2080A0-15",device="AN",driver="1.20",fit="u",id="2",instance="10.0.0.9:41611",pod_name="",'
    'pod_namespace="",spi="k"'
)
_NEURON = (
    'availability_zone="us-east-1c",instance_id="i-09",instance_name="",instance_type="trn1n.32xlarge",neuroncore="4",'
    'region="us-east-1",runtime_tag="367",subnet_id="subnet-06"'
)
_HW = 'hw_id="0",hw_model="H100",hw_name="gpu0",hw_vendor="NVIDIA",instance="10.0.0.5:9464"'
ACCELERATORS = {
    "telegraf": f"""\
# HELP nvidia_smi_memory_total Telegraf collected metric
nvidia_smi_memory_total{{{_TELEGRAF}}} 81559
nvidia_smi_memory_used{{{_TELEGRAF}}} 40000
nvidia_smi_memory_reserved{{{_TELEGRAF}}} 551
nvidia_smi_utilization_gpu{{{_TELEGRAF}}} 42
nvidia_smi_utilization_memory{{{_TELEGRAF}}} 21
nvidia_smi_power_draw{{{_TELEGRAF}}} 350.5
nvidia_smi_clocks_current_sm{{{_TELEGRAF}}} 1980
""",
    "hw_gpu": f"""\
hw_gpu_memory_limit_bytes{{{_HW}}} 85e9
hw_gpu_memory_usage_bytes{{{_HW}}} 40e9
hw_gpu_utilization_ratio{{{_HW},hw_gpu_task="general"}} 0.42
hw_gpu_utilization_ratio{{{_HW},hw_gpu_task="encoder"}} 0.99
hw_power_watts{{{_HW},hw_type="gpu"}} 350
hw_power_watts{{{_HW},hw_type="fan"}} 9
""",
    "google_ops_agent": f"""\
agent_googleapis_com:gpu_utilization{{{_OPS}}} 42
agent_googleapis_com:gpu_memory_bytes_used{{{_OPS},memory_state="used"}} 4e9
agent_googleapis_com:gpu_memory_bytes_used{{{_OPS},memory_state="free"}} 20e9
""",
    "gke": f"""\
kubernetes_io:node_accelerator_duty_cycle{{{_GKE}}} 42
kubernetes_io:node_accelerator_memory_used{{{_GKE}}} 4e9
kubernetes_io:node_accelerator_memory_total{{{_GKE}}} 24e9
""",
    "gke_device_plugin": f"""\
# HELP duty_cycle_gpu_node Percent of time when the GPU was actively processing
duty_cycle_gpu_node{{{_PLUGIN}}} 42
memory_used_gpu_node{{{_PLUGIN}}} 4e9
memory_total_gpu_node{{{_PLUGIN}}} 24e9
""",
    "amd": f"""\
# HELP gpu_gfx_activity Graphics engine usage in Percentage (0-100)
gpu_gfx_activity{{{_AMD}}} 42
gpu_umc_activity{{{_AMD}}} 21
gpu_total_vram{{{_AMD}}} 196592
gpu_used_vram{{{_AMD}}} 100000
gpu_package_power{{{_AMD}}} 700
gpu_power_usage{{{_AMD}}} 701
gpu_junction_temperature{{{_AMD}}} 61
gpu_prof_tensor_active_percent{{{_AMD}}} 30
""",
    "gaudi": f"""\
habanalabs_utilization{{{_GAUDI}}} 42
habanalabs_memory_used_bytes{{{_GAUDI}}} 4e9
habanalabs_memory_total_bytes{{{_GAUDI}}} 96e9
habanalabs_power_mW{{{_GAUDI}}} 350000
habanalabs_temperature_onchip{{{_GAUDI}}} 51
""",
    "neuron": f"""\
# HELP neuroncore_utilization_ratio NeuronCore utilization ratio
neuroncore_utilization_ratio{{{_NEURON}}} 0.42
""",
    "triton_gpu": """\
nv_gpu_utilization{gpu_uuid="GPU-t",instance="10.0.0.3:8002"} 0.42
nv_gpu_memory_total_bytes{gpu_uuid="GPU-t",instance="10.0.0.3:8002"} 24e9
nv_gpu_memory_used_bytes{gpu_uuid="GPU-t",instance="10.0.0.3:8002"} 4e9
nv_gpu_power_usage{gpu_uuid="GPU-t",instance="10.0.0.3:8002"} 71
""",
}
_RAY = (
    'Component="core_worker",NodeAddress="10.0.0.4",ReplicaId="r1",SessionName="s",Version="2.48.0",WorkerId="w1",'
    'engine="0",model_name="llama"'
)
_VLLM_NAMES = """\
ray_vllm_num_requests_running{LABELS} 3
ray_vllm_num_requests_waiting{LABELS} 2
ray_vllm_kv_cache_usage_perc{LABELS} 0.25
ray_vllm_prompt_tokens_total{LABELS} 168000
ray_vllm_prompt_tokens{LABELS} 168000
ray_vllm_generation_tokens_total{LABELS} 24000
ray_vllm_request_success_total{LABELS_STOP} 200
ray_vllm_request_success_total{LABELS_LENGTH} 40
ray_vllm_prefix_cache_queries_total{LABELS} 168000
ray_vllm_prefix_cache_hits_total{LABELS} 42000
"""
_DYNAMO = 'dynamo_namespace="dynamo",endpoint="chat_completions",model="llama",request_type="stream"'
_DYNAMO_MODEL = 'dynamo_namespace="dynamo",model="llama"'
_GATEWAY = 'model_name="front",target_model_name="llama"'
_LITE = 'api_key_alias="a",end_user="",hashed_api_key="h",requested_model="llama",team="t",team_alias="ta",user="u"'
_GEN = 'gen_ai_operation_name="chat",gen_ai_provider_name="custom",gen_ai_request_model="llama"'
ENGINES = {
    "ray_vllm": _VLLM_NAMES.replace("{LABELS}", f"{{{_RAY}}}")
    .replace("{LABELS_STOP}", f'{{{_RAY},finished_reason="stop"}}')
    .replace("{LABELS_LENGTH}", f'{{{_RAY},finished_reason="length"}}')
    + histogram("ray_vllm_request_prompt_tokens", _RAY, 700)
    + histogram("ray_vllm_request_generation_tokens", _RAY, 100)
    + histogram("ray_vllm_time_to_first_token_seconds", _RAY, 0.5),
    "trtllm": """\
trtllm_num_requests_running{engine_type="trtllm",model_name="llama"} 3
trtllm_num_requests_waiting{engine_type="trtllm",model_name="llama"} 2
trtllm_kv_cache_utilization{engine_type="trtllm",model_name="llama"} 0.25
trtllm_request_success_total{engine_type="trtllm",finished_reason="stop",model_name="llama"} 240
trtllm_prompt_tokens_total{engine_type="trtllm",model_name="llama"} 168000
trtllm_prompt_cached_tokens_total{engine_type="trtllm",model_name="llama"} 42000
trtllm_generation_tokens_total{engine_type="trtllm",model_name="llama"} 24000
"""
    + histogram("trtllm_time_to_first_token_seconds", 'engine_type="trtllm",model_name="llama"', 0.5),
    "nim": """\
num_requests_running{model_name="llama"} 3
num_requests_waiting{model_name="llama"} 2
num_request_max{model_name="llama"} 256
gpu_cache_usage_perc{model_name="llama"} 0.25
prompt_tokens_total{model_name="llama"} 168000
generation_tokens_total{model_name="llama"} 24000
request_success_total{model_name="llama"} 240
"""
    + histogram("request_prompt_tokens", 'model_name="llama"', 700)
    + histogram("request_generation_tokens", 'model_name="llama"', 100)
    + histogram("time_to_first_token_seconds", 'model_name="llama"', 0.5),
    "dynamo": f"""\
dynamo_frontend_inflight_requests{{{_DYNAMO_MODEL}}} 9
dynamo_frontend_requests_total{{{_DYNAMO},status="success"}} 240
dynamo_component_requests_total{{dynamo_component="backend",dynamo_endpoint="generate",dynamo_namespace="dynamo"}} 240
"""
    + histogram("dynamo_frontend_input_sequence_tokens", _DYNAMO_MODEL, 700)
    + histogram("dynamo_frontend_output_sequence_tokens", _DYNAMO_MODEL, 100)
    + histogram("dynamo_frontend_cached_tokens", _DYNAMO_MODEL, 175)
    + histogram("dynamo_frontend_time_to_first_token_seconds", _DYNAMO_MODEL, 0.5),
    "inference_gateway": f"""\
inference_objective_request_total{{{_GATEWAY},priority="0"}} 240
inference_objective_running_requests{{model_name="front"}} 3
inference_pool_average_queue_size{{name="pool"}} 2
"""
    + histogram("inference_objective_input_tokens", _GATEWAY, 700)
    + histogram("inference_objective_output_tokens", _GATEWAY, 100)
    + histogram("inference_objective_prompt_cached_tokens", _GATEWAY, 175)
    + histogram("inference_objective_request_ttft_seconds", _GATEWAY, 0.5),
    "litellm": f"""\
litellm_proxy_total_requests_metric_total{{{_LITE},status_code="200"}} 240
litellm_input_tokens_metric_total{{{_LITE},model="hosted_vllm/llama"}} 168000
litellm_output_tokens_metric_total{{{_LITE},model="hosted_vllm/llama"}} 24000
"""
    + histogram("litellm_llm_api_time_to_first_token_metric", 'model="hosted_vllm/llama",requested_model="llama"', 0.5),
    "gen_ai": histogram("gen_ai_client_token_usage", f'{_GEN},gen_ai_token_type="input"', 700)
    + histogram("gen_ai_client_token_usage", f'{_GEN},gen_ai_token_type="output"', 100)
    + histogram("gen_ai_server_request_duration_seconds", _GEN, 4)
    + histogram("gen_ai_server_time_to_first_token_seconds", _GEN, 0.5),
    "llamacpp": """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
llamacpp:prompt_tokens_total 168000
llamacpp:tokens_predicted_total 24000
llamacpp:predicted_tokens_seconds 31.5
llamacpp:requests_processing 3
llamacpp:requests_deferred 2
""",
    "tei": """\
te_queue_size 2
te_request_count{method="single"} 200
te_request_count{method="batch"} 40
te_request_success{method="single"} 200
te_request_success{method="batch"} 40
"""
    + histogram("te_request_input_length", "", 700)
    + histogram("te_request_duration", "", 4),
    "ovms": """\
ovms_current_requests{name="llama",version="1"} 2
ovms_requests_success{api="KServe",interface="REST",method="ModelInfer",name="llama",version="1"} 200
ovms_requests_success{api="TensorFlowServing",interface="gRPC",method="Predict",name="llama",version="1"} 40
ovms_requests_success{api="KServe",interface="REST",method="ModelReady",name="llama"} 999
"""
    + histogram("ovms_request_time_us", 'name="llama",version="1"', 4e6),
    "torchserve": """\
ts_inference_requests_total{model_name="llama",model_version="default",hostname="node-1"} 240
ts_queue_latency_microseconds{model_name="llama",model_version="default",hostname="node-1"} 3400
""",
    "kserve": histogram("request_predict_seconds", 'model_name="llama"', 4),
    "mlserver": """\
model_infer_request_success_total{model="llama",version="v1"} 240
model_infer_request_failure_total{model="llama",version="v1"} 3
""",
}
