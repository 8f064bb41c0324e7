from google.protobuf import any_pb2 as _any_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SetStateRequest(_message.Message):
    __slots__ = ("node", "version", "resources", "listeners", "clusters", "routes", "endpoints")
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    node: str
    version: str
    resources: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    listeners: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    clusters: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    routes: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    endpoints: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, node: _Optional[str] = ..., version: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., listeners: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., clusters: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., routes: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., endpoints: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class ClearStateRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class ResourceRequest(_message.Message):
    __slots__ = ("node", "type_url", "resource_name", "version", "resource")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    node: str
    type_url: str
    resource_name: str
    version: str
    resource: _any_pb2.Any
    def __init__(self, node: _Optional[str] = ..., type_url: _Optional[str] = ..., resource_name: _Optional[str] = ..., version: _Optional[str] = ..., resource: _Optional[_Union[_any_pb2.Any, _Mapping]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...
