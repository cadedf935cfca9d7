"""A small Firestore: the calls that the project makes, on the client library's own protos.

    python -m emulators.firestore --port 8080 --db firestore.db --indexes firestore.indexes.json

Implemented, each as the service answers it:
  - Commit: atomic; update with and without mask, delete; preconditions ``exists`` and
    ``update_time``; the transforms server timestamp and increment; commit times that strictly
    increase, in microseconds; an unchanged document keeps its update time; ALREADY_EXISTS,
    NOT_FOUND, FAILED_PRECONDITION; INVALID_ARGUMENT above 1 MiB.
  - BatchGetDocuments, with missing documents and masks.
  - RunQuery: a collection or a collection group below a parent; every field and unary filter,
    AND and OR; several orders, both directions, ``__name__``; start and end cursors; offset,
    limit, projection.
  - RunAggregationQuery: count.
  - ListDocuments (by name, missing ones too) and ListCollectionIds.
  - Indexes: a query that Firestore would refuse is refused with FAILED_PRECONDITION, with the
    entry for ``firestore.indexes.json`` that would serve it in the message.

Everything else answers UNIMPLEMENTED: transactions, reads of the past, listening, BatchWrite,
pipelines, vector search, query explain, sum and average, the other field transforms.
"""
