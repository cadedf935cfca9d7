"""The gRPC servicer: requests in, documents out."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent import futures

import grpc

from emulators.firestore import protos
from emulators.firestore.documents import Documents, check_document_name
from emulators.firestore.indexes import Indexes
from emulators.firestore.protos import Message
from emulators.firestore.queries import Query, parse_query, project
from emulators.firestore.values import path_key
from emulators.refusal import answer_stream, answer_unary, invalid_argument, unimplemented

SERVICE = "google.firestore.v1.Firestore"
# A request of the real service may hold 10 MiB; an answer of documents may be larger.
_OPTIONS = (
    ("grpc.max_receive_message_length", 10 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)
_THREADS = 64


class Firestore:
    """The calls; each takes a request message and answers messages or raises Refusal."""

    def __init__(self, documents: Documents, indexes: Indexes) -> None:
        self._documents = documents
        self._indexes = indexes

    def commit(self, request: Message) -> Message:
        """Apply every write of the request, or none."""
        _refuse_transaction(request)
        committed = self._documents.commit(request.database, request.writes)
        response = protos.CommitResponse(write_results=committed.results)
        response.commit_time.FromMicroseconds(committed.time)
        return response

    def batch_get_documents(self, request: Message) -> Iterator[Message]:
        """Each named document once, found or missing, all read at one moment."""
        _refuse_transaction(request)
        names = list(dict.fromkeys(request.documents))
        for name in names:
            check_document_name(name)
        read_time, found = self._documents.read(names)
        for name in names:
            response = protos.BatchGetDocumentsResponse()
            response.read_time.FromMicroseconds(read_time)
            if name not in found:
                response.missing = name
            elif request.HasField("mask"):
                response.found.CopyFrom(project(found[name], request.mask.field_paths))
            else:
                response.found.CopyFrom(found[name])
            yield response

    def run_query(self, request: Message) -> Iterator[Message]:
        """The answers of a structured query; one empty response when there are none."""
        query, read_time, documents = self._query(request, request.structured_query)
        if not documents:
            yield _stamp(protos.RunQueryResponse(skipped_results=query.offset), read_time)
        for document in documents:
            yield _stamp(protos.RunQueryResponse(document=document), read_time)

    def run_aggregation_query(self, request: Message) -> Iterator[Message]:
        """The counts of a structured query's answers."""
        aggregation = request.structured_aggregation_query
        _, read_time, documents = self._query(request, aggregation.structured_query)
        response = _stamp(protos.RunAggregationQueryResponse(), read_time)
        for position, one in enumerate(aggregation.aggregations):
            if not one.HasField("count"):
                raise unimplemented("aggregations other than count")
            count = len(documents)
            if one.count.HasField("up_to"):
                count = min(count, one.count.up_to.value)
            alias = one.alias or f"field_{position + 1}"
            response.result.aggregate_fields[alias].integer_value = count
        yield response

    def list_documents(self, request: Message) -> Message:
        """A page of a collection, in the order of names, missing ones too when asked for."""
        _refuse_transaction(request)
        if request.order_by:
            raise unimplemented("ListDocuments in an order other than by name")
        parent, collection_id = request.parent, request.collection_id
        _, documents = self._documents.scan(parent, collection_id, all_descendants=False)
        listed = {document.name: document for document in documents}
        if request.show_missing:
            for name in self._documents.list_missing(parent, collection_id) - listed.keys():
                listed[name] = protos.Document(name=name)
        last = _read_token(request.page_token)
        names = sorted((name for name in listed if path_key(name) > path_key(last)), key=path_key)
        size = request.page_size or 300
        response = protos.ListDocumentsResponse()
        for name in names[:size]:
            document = listed[name]
            masked = request.HasField("mask") and document.HasField("update_time")
            response.documents.append(
                project(document, request.mask.field_paths) if masked else document
            )
        if len(names) > size:
            response.next_page_token = base64.urlsafe_b64encode(names[size - 1].encode()).decode()
        return response

    def list_collection_ids(self, request: Message) -> Message:
        """Every collection id below a document or the root, on one page."""
        found = self._documents.list_collections(request.parent)
        return protos.ListCollectionIdsResponse(collection_ids=found)

    def _query(self, request: Message, structured: Message) -> tuple[Query, int, list[Message]]:
        _refuse_transaction(request)
        if request.HasField("explain_options"):
            raise unimplemented("query explain")
        query = parse_query(structured)
        self._indexes.require(query)
        read_time, documents = self._documents.scan(
            request.parent, query.collection_id, query.all_descendants
        )
        return query, read_time, query.run(documents)


def serve(documents: Documents, indexes: Indexes, host: str, port: int) -> tuple[grpc.Server, int]:
    """Start a server; answers it and the port it listens on."""
    firestore = Firestore(documents, indexes)
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    calls = {
        "Commit": (unary, firestore.commit),
        "BatchGetDocuments": (stream, firestore.batch_get_documents),
        "RunQuery": (stream, firestore.run_query),
        "RunAggregationQuery": (stream, firestore.run_aggregation_query),
        "ListDocuments": (unary, firestore.list_documents),
        "ListCollectionIds": (unary, firestore.list_collection_ids),
    }
    handlers = {
        name: handler(
            answer_unary(call) if handler is unary else answer_stream(call),
            request_deserializer=getattr(protos, f"{name}Request").FromString,
            response_serializer=getattr(protos, f"{name}Response").SerializeToString,
        )
        for name, (handler, call) in calls.items()
    }
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    bound = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server, bound


def _stamp(response: Message, read_time: int) -> Message:
    response.read_time.FromMicroseconds(read_time)
    return response


def _refuse_transaction(request: Message) -> None:
    """Transactions and reads of the past are the real service's only."""
    for field in ("transaction", "new_transaction", "read_time"):
        if field not in request.DESCRIPTOR.fields_by_name:
            continue
        given = bool(request.transaction) if field == "transaction" else request.HasField(field)
        if given:
            raise unimplemented(f"{field.replace('_', ' ')}s")


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise invalid_argument("the page token is not one of this service") from error
