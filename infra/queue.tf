# One queue: a task is a call of a function, whichever it is. Cloud Tasks never drops a task before
# the step itself has given up (EVENTPULSE_MAX_ATTEMPTS), which is an answer 2xx.

locals {
  queue = var.name # what EVENTPULSE_TASKS names
}

resource "google_cloud_tasks_queue" "this" {
  name     = local.queue
  location = var.region

  rate_limits {
    max_dispatches_per_second = 50
    max_concurrent_dispatches = 60
  }

  retry_config {
    max_attempts       = 100
    max_retry_duration = "0s" # no limit besides the attempts
    min_backoff        = "5s"
    max_backoff        = "300s"
    max_doublings      = 6
  }

  # One log line for each call that was made; what was answered stands in it.
  stackdriver_logging_config {
    sampling_ratio = 1
  }

  depends_on = [google_project_service.this]
}

resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = { for key, each in local.functions : key => each if each.enqueues }

  location = google_cloud_tasks_queue.this.location
  name     = google_cloud_tasks_queue.this.name
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.function[each.key].member
}

resource "google_cloud_tasks_queue_iam_member" "viewer" {
  for_each = { for key, each in local.functions : key => each if each.watches }

  location = google_cloud_tasks_queue.this.location
  name     = google_cloud_tasks_queue.this.name
  role     = "roles/cloudtasks.viewer"
  member   = google_service_account.function[each.key].member
}

# A task bears the identity of the queue's caller; who makes one must be allowed to act as it.
resource "google_service_account_iam_member" "enqueuer" {
  for_each = { for key, each in local.functions : key => each if each.enqueues }

  service_account_id = google_service_account.caller["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.function[each.key].member
}
