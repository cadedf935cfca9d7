"""The raw protobuf classes behind google-cloud-firestore's wrappers.

The servicer works on the messages themselves: the wrappers convert each field on each access,
which costs more than everything else a small query does.
"""

from __future__ import annotations

from typing import Any

from google.cloud.firestore_v1 import types

# Messages are typed as Any: the generated classes carry no annotations.
Message = Any

Document: Any = types.Document.pb()
Value: Any = types.Value.pb()
MapValue: Any = types.MapValue.pb()
Cursor: Any = types.Cursor.pb()
StructuredQuery: Any = types.StructuredQuery.pb()
WriteResult: Any = types.WriteResult.pb()

CommitRequest: Any = types.CommitRequest.pb()
CommitResponse: Any = types.CommitResponse.pb()
BatchGetDocumentsRequest: Any = types.BatchGetDocumentsRequest.pb()
BatchGetDocumentsResponse: Any = types.BatchGetDocumentsResponse.pb()
RunQueryRequest: Any = types.RunQueryRequest.pb()
RunQueryResponse: Any = types.RunQueryResponse.pb()
RunAggregationQueryRequest: Any = types.RunAggregationQueryRequest.pb()
RunAggregationQueryResponse: Any = types.RunAggregationQueryResponse.pb()
ListDocumentsRequest: Any = types.ListDocumentsRequest.pb()
ListDocumentsResponse: Any = types.ListDocumentsResponse.pb()
ListCollectionIdsRequest: Any = types.ListCollectionIdsRequest.pb()
ListCollectionIdsResponse: Any = types.ListCollectionIdsResponse.pb()
