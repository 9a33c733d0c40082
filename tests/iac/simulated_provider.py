"""A Terraform provider that serves a recorded schema and simulates the cloud: nothing is contacted.

Real Terraform core starts it as ``hashicorp/aws``. It answers with the real provider's schema, so that types, arguments,
blocks and references are checked against today's provider. An apply fills computed values with made-up ones; the state
lives in Terraform's own file.

usage: simulated_provider.py SCHEMA.json.gz [SOCKET]

With a socket it serves any number of runs of core that are told to attach to it, without a certificate, until it is killed.
"""

import base64
import gzip
import json
import os
import sys
import tempfile
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from provider_rules import broken_rules, forcing_replacement, refused_updates
from provider_schema import schema_message
from provider_values import decode, encode, mark_unknown, settle, without_unknown
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_rpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
from tf.gen import tfplugin_pb2 as protocol
from tf.gen import tfplugin_pb2_grpc as rpc
from tf.runner import _self_signed_cert

_OBJECTS = ("_/Namespace/_/x", "apps/Deployment/x/x")
_READ = {
    "kustomization_build": {
        "ids": list(_OBJECTS),
        "ids_prio": [[_OBJECTS[0]], [_OBJECTS[1]], []],
        "manifests": dict.fromkeys(_OBJECTS, "{}"),
    }
}
"""Answers of data sources that configuration counts on: a kustomization has objects, in three steps."""


class Provider(rpc.ProviderServicer):
    """The calls of plugin protocol 6 that core makes; their names and signatures are the protocol's."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        """Serve the schemas of one provider."""
        self.provider = schemas["provider"]
        self.resources = schemas["resource_schemas"]
        self.data_sources = schemas["data_source_schemas"]
        self.applied = 0

    def GetMetadata(self, _request, _context):  # noqa: N802
        """Types that exist."""
        response = protocol.GetMetadata.Response
        metadata = protocol.GetMetadata
        return response(
            server_capabilities=protocol.ServerCapabilities(plan_destroy=False),
            resources=[metadata.ResourceMetadata(type_name=name) for name in self.resources],
            data_sources=[metadata.DataSourceMetadata(type_name=name) for name in self.data_sources],
        )

    def GetProviderSchema(self, _request, _context):  # noqa: N802
        """Everything that was recorded."""
        return protocol.GetProviderSchema.Response(
            provider=schema_message(self.provider),
            resource_schemas={name: schema_message(one) for name, one in self.resources.items()},
            data_source_schemas={name: schema_message(one) for name, one in self.data_sources.items()},
        )

    def ValidateProviderConfig(self, _request, _context):  # noqa: N802
        """Core has checked the types already."""
        return protocol.ValidateProviderConfig.Response()

    def ConfigureProvider(self, _request, _context):  # noqa: N802
        """There is nothing to connect to."""
        return protocol.ConfigureProvider.Response()

    def ValidateResourceConfig(self, request, _context):  # noqa: N802
        """Rules that the schema does not hold."""
        broken = broken_rules(request.type_name, decode(request.config) or {})
        return protocol.ValidateResourceConfig.Response(diagnostics=[_diagnostic(*one) for one in broken])

    def ValidateDataResourceConfig(self, _request, _context):  # noqa: N802
        """Core has checked the types already."""
        return protocol.ValidateDataResourceConfig.Response()

    def UpgradeResourceState(self, request, _context):  # noqa: N802
        """Every state was written by this schema."""
        return protocol.UpgradeResourceState.Response(upgraded_state=protocol.DynamicValue(json=request.raw_state.json))

    def ReadResource(self, request, _context):  # noqa: N802
        """The world is as it was left."""
        return protocol.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request, _context):  # noqa: N802
        """A new resource has unknown computed values, a kept one none."""
        planned = decode(request.proposed_new_state)
        if planned is None:
            return protocol.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        prior = decode(request.prior_state)
        if prior is None:
            mark_unknown(planned, self.resources[request.type_name]["block"])
        return protocol.PlanResourceChange.Response(
            planned_state=encode(planned),
            requires_replace=[_path(name) for name in forcing_replacement(request.type_name, prior or {}, planned)],
        )

    def ApplyResourceChange(self, request, _context):  # noqa: N802
        """Make up what is unknown."""
        state = decode(request.planned_state)
        if state is None:
            return protocol.ApplyResourceChange.Response(new_state=request.planned_state)
        complaints = refused_updates(request.type_name, decode(request.prior_state), state)
        refused = [_diagnostic(*complaint) for complaint in complaints]
        if refused:
            return protocol.ApplyResourceChange.Response(new_state=request.prior_state, diagnostics=refused)
        self.applied += 1
        seed = f"{request.type_name}{self.applied}{os.getpid()}"
        settle(state, self.resources[request.type_name]["block"], request.type_name, seed)
        return protocol.ApplyResourceChange.Response(new_state=encode(without_unknown(state)))

    def ReadDataSource(self, request, _context):  # noqa: N802
        """The same question has the same answer."""
        state, block = decode(request.config), self.data_sources[request.type_name]["block"]
        seed = json.dumps(without_unknown(state), sort_keys=True, default=str)
        mark_unknown(state, block)
        settle(state, block, request.type_name, seed)
        state |= _READ.get(request.type_name, {})
        return protocol.ReadDataSource.Response(state=encode(without_unknown(state)))

    def GetFunctions(self, _request, _context):  # noqa: N802
        """None are recorded."""
        return protocol.GetFunctions.Response()

    def StopProvider(self, _request, _context):  # noqa: N802
        """Nothing is under way."""
        return protocol.StopProvider.Response()


class Controller(controller_rpc.GRPCControllerServicer):
    """Lets core end the process."""

    def __init__(self, server: grpc.Server) -> None:
        """End *server* on request."""
        self.server = server

    def Shutdown(self, _request, _context):  # noqa: N802
        """Stop at once."""
        self.server.stop(0)
        return controller.Empty()


class Stdio(stdio_rpc.GRPCStdioServicer):
    """Core asks for the output of the plugin; there is none."""

    def StreamStdio(self, _request, _context):  # noqa: N802
        """Nothing to stream."""
        return iter([])


def _diagnostic(attribute: str, complaint: str) -> protocol.Diagnostic:
    return protocol.Diagnostic(severity=1, summary=f"{attribute}: {complaint}", attribute=_path(attribute))


def _path(attribute: str) -> protocol.AttributePath:
    return protocol.AttributePath(steps=[protocol.AttributePath.Step(attribute_name=attribute)])


def main(schema: str, attached: str = "") -> None:
    """Serve until core says stop, after the handshake line that core waits for."""
    document = json.loads(gzip.decompress(Path(schema).read_bytes()))
    (schemas,) = document["provider_schemas"].values()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
    rpc.add_ProviderServicer_to_server(Provider(schemas), server)
    stdio_rpc.add_GRPCStdioServicer_to_server(Stdio(), server)
    if attached:
        server.add_insecure_port(f"unix://{attached}")
        server.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        server.wait_for_termination()
        return
    controller_rpc.add_GRPCControllerServicer_to_server(Controller(server), server)
    with tempfile.TemporaryDirectory() as directory:
        socket = f"{directory}/provider.sock"
        certificate, credentials = _self_signed_cert()
        server.add_secure_port(f"unix://{socket}", credentials)
        server.start()
        encoded = base64.b64encode(certificate).decode().rstrip("=")
        sys.stdout.write(f"1|6|unix|{socket}|grpc|{encoded}\n")
        sys.stdout.flush()
        server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
