"""A small Cloud Tasks: queues and HTTP tasks, on the client library's own v2 protos.

    python -m emulators.tasks --port 8123 --db tasks.db --credentials DIR

Implemented, each as the service does it:
  - CreateQueue, GetQueue, UpdateQueue, ListQueues, DeleteQueue, PauseQueue, ResumeQueue,
    PurgeQueue; CreateTask, GetTask, ListTasks, DeleteTask, RunTask.
  - Names: a task's id is refused with ALREADY_EXISTS while the task is there and for 24 hours
    after it was done or deleted. NOT_FOUND without the queue, INVALID_ARGUMENT for a bad name,
    URL, deadline, schedule more than 30 days ahead, or a task over 1 MiB.
  - Dispatch: at ``schedule_time``, under the queue's ``max_concurrent_dispatches`` and
    ``max_dispatches_per_second``; any 2xx ends a task; no answer by ``dispatch_deadline`` (10
    minutes by default; 15 seconds to 30 minutes) is a failure; failures are retried by the
    task's or the queue's ``retry_config``, and not before a ``Retry-After`` of a 429 or 503.
    A dispatch that a crash interrupted is made again: at least once.
  - The ``X-CloudTasks-*`` headers and ``User-Agent: Google-Cloud-Tasks``. Redirects are not
    followed: they fail.
  - OIDC: a token for ``service_account_email`` and ``audience`` (the URL by default), RS256,
    from an issuer that serves its keys over HTTP: ``/.well-known/openid-configuration``,
    ``/jwks.json`` and ``/certs`` (X.509, what ``google.oauth2.id_token.verify_token`` takes as
    ``certs_url``).

Unlike the service: backoffs are not rounded to seconds, dispatches do not ramp up, and the queue
of a task that fails is not throttled. Everything else answers UNIMPLEMENTED: App Engine tasks,
OAuth tokens, queue-level HTTP targets, IAM, CMEK, BufferTask.
"""
