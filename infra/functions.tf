# One row per folder of functions/, and all that differs between them. Rights are named here and
# granted beside the resource they are on (buckets.tf, bigquery.tf, queue.tf, secrets.tf).
#
# caller: who may call it: eventarc, tasks, scheduler, operators (through IAP) or devices (by keys of
#   their own, which the function checks).
# timeout: seconds; below the task's dispatch deadline, which is below the step's lease. An event's
#   call has at most 540.
# buckets, tables: what it may do there: describe, view, create (and not read), add (view and create),
#   edit.
# log: whether it reads and writes the event log.
# jobs: whether it runs BigQuery jobs. sessions: whether it reads whole tables (Storage Read API).
# enqueues: whether it makes tasks. watches: whether it counts them. signs: whether it signs uploads.

locals {
  functions = {
    land = {
      caller      = "eventarc"
      timeout     = 540
      memory      = "512Mi"
      cpu         = "1"
      concurrency = 8
      instances   = { min = 0, max = 20 }
      buckets     = { raw = "view" }
      tables      = {}
      log         = true
      jobs        = false
      sessions    = false
      enqueues    = true
      watches     = false
      signs       = false
    }
    validate = {
      caller      = "tasks"
      timeout     = 1740
      memory      = "2Gi"
      cpu         = "2"
      concurrency = 1
      instances   = { min = 0, max = 20 }
      buckets     = { raw = "view", staged = "edit", quarantine = "edit", reports = "edit" }
      tables      = {}
      log         = true
      jobs        = false
      sessions    = false
      enqueues    = true
      watches     = false
      signs       = false
    }
    drift = {
      caller      = "tasks"
      timeout     = 540
      memory      = "1Gi"
      cpu         = "1"
      concurrency = 4
      instances   = { min = 0, max = 20 }
      buckets     = { staged = "view", reports = "edit" }
      tables      = {}
      log         = true
      jobs        = false
      sessions    = false
      enqueues    = true
      watches     = false
      signs       = false
    }
    load = {
      caller      = "tasks"
      timeout     = 1740
      memory      = "1Gi"
      cpu         = "1"
      concurrency = 4
      instances   = { min = 0, max = 10 }
      buckets     = { staged = "view", reports = "edit" }
      tables      = { history = "edit", curated = "edit", marts = "describe" }
      log         = true
      jobs        = true
      sessions    = false
      enqueues    = true
      watches     = false
      signs       = false
    }
    marts = {
      caller      = "tasks"
      timeout     = 1740
      memory      = "1Gi"
      cpu         = "1"
      concurrency = 4
      instances   = { min = 0, max = 10 }
      buckets     = { reports = "edit" }
      tables      = { history = "describe", curated = "view", marts = "edit" }
      log         = true
      jobs        = true
      sessions    = false
      enqueues    = true
      watches     = false
      signs       = false
    }
    sweep = {
      caller      = "scheduler"
      timeout     = 1740
      memory      = "1Gi"
      cpu         = "1"
      concurrency = 1
      instances   = { min = 0, max = 1 }
      buckets     = { raw = "view" }
      tables      = {}
      log         = true
      jobs        = false
      sessions    = false
      enqueues    = true
      watches     = false
      signs       = false
    }
    backfill = {
      caller      = "tasks"
      timeout     = 1740
      memory      = "2Gi"
      cpu         = "2"
      concurrency = 1
      instances   = { min = 0, max = 2 }
      # It validates on trial, with staged and refused rows of its own, and removes them; to verify a
      # table it rebuilds it beside the real one.
      buckets  = { raw = "view", staged = "edit", quarantine = "edit", reports = "edit" }
      tables   = { history = "edit", curated = "edit", marts = "describe" }
      log      = true
      jobs     = true
      sessions = true
      enqueues = true
      watches  = false
      signs    = false
    }
    bundle = {
      caller      = "tasks"
      timeout     = 540
      memory      = "512Mi"
      cpu         = "1"
      concurrency = 4
      instances   = { min = 0, max = 5 }
      buckets     = {}
      tables      = {}
      log         = true
      jobs        = false
      sessions    = false
      enqueues    = true
      watches     = false
      signs       = false
    }
    devices = {
      caller      = "devices"
      timeout     = 60
      memory      = "512Mi"
      cpu         = "1"
      concurrency = 20
      instances   = { min = 0, max = 10 }
      buckets     = { raw = "edit" } # bytes that another stored under a device's claim are removed
      tables      = {}
      log         = true
      jobs        = false
      sessions    = false
      enqueues    = false
      watches     = false
      signs       = true
    }
    lineage = {
      caller      = "tasks"
      timeout     = 300
      memory      = "512Mi"
      cpu         = "1"
      concurrency = 4
      instances   = { min = 0, max = 5 }
      buckets     = { reports = "view" }
      tables      = {}
      log         = false
      jobs        = false
      sessions    = false
      enqueues    = false
      watches     = false
      signs       = false
    }
    api = {
      caller      = "operators"
      timeout     = 300
      memory      = "1Gi"
      cpu         = "1"
      concurrency = 20
      instances   = { min = 0, max = 10 }
      # An upload may replace the generation that it names.
      buckets  = { raw = "edit", staged = "view", quarantine = "view", reports = "edit" }
      tables   = { history = "view", curated = "view", marts = "view" }
      log      = true
      jobs     = true
      sessions = true
      enqueues = true
      watches  = true
      signs    = true
    }
  }

  # A function's address is known before it exists, so that no function depends on another.
  functions_url = "https://${var.name}-{function}-${data.google_project.this.number}.${var.region}.run.app"
  addresses     = { for key in keys(local.functions) : key => replace(local.functions_url, "{function}", key) }

  # Who presents a token at a function, by its kind of caller.
  callers = {
    eventarc  = google_service_account.caller["eventarc"]
    tasks     = google_service_account.caller["tasks"]
    scheduler = google_service_account.caller["scheduler"]
  }
  internal = { for key, each in local.functions : key => each if contains(keys(local.callers), each.caller) }

  dispatch_deadline = 1800 # seconds; the longest that Cloud Tasks waits for an answer
  lease             = 2100 # seconds; the default of EVENTPULSE_LEASE_SECONDS, said aloud

  environment = merge(
    {
      EVENTPULSE_OBJECTS             = "gs://${local.bucket_prefix}"
      EVENTPULSE_TASKS               = "cloudtasks://${var.project_id}/${var.region}/${local.queue}?service_account=${google_service_account.caller["tasks"].email}&deadline=${local.dispatch_deadline}"
      EVENTPULSE_FUNCTIONS           = local.functions_url
      EVENTPULSE_LEASE_SECONDS       = tostring(local.lease)
      EVENTPULSE_LOAD_WINDOW_SECONDS = tostring(var.load_window_seconds)
      EVENTPULSE_COMPARE_SECONDS     = "3600"
      EVENTPULSE_LOG_LEVEL           = var.log_level
      LOG_EXECUTION_ID               = "true"
    },
    var.openlineage_url == "" ? {} : { EVENTPULSE_OPENLINEAGE_URL = var.openlineage_url },
    local.on_google ? {
      EVENTPULSE_STATE     = "firestore://${var.project_id}/${var.firestore_database}"
      EVENTPULSE_WAREHOUSE = "bigquery://${var.project_id}?location=${var.location}&prefix=${local.dataset_prefix}"
    } : {},
  )

  on_google   = var.variant == "google"
  on_postgres = !local.on_google
}

resource "google_cloudfunctions2_function" "this" {
  for_each = local.functions

  name        = "${var.name}-${each.key}"
  location    = var.region
  description = "EventPulse: ${each.key}"
  labels      = local.labels

  build_config {
    runtime           = "python312"
    entry_point       = each.key
    docker_repository = google_artifact_registry_repository.images.id
    service_account   = google_service_account.builder.id

    source {
      storage_source {
        bucket = google_storage_bucket.bundles.name
        object = google_storage_bucket_object.bundle[each.key].name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    timeout_seconds                  = each.value.timeout
    available_memory                 = each.value.memory
    available_cpu                    = each.value.cpu
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = each.value.instances.min
    max_instance_count               = local.on_google ? each.value.instances.max : min(each.value.instances.max, var.database.max_instances)
    ingress_settings                 = contains(keys(local.internal), each.key) ? "ALLOW_INTERNAL_ONLY" : local.ingress
    all_traffic_on_latest_revision   = true

    environment_variables = merge(
      local.environment,
      contains(keys(local.internal), each.key) ? {
        EVENTPULSE_INVOKERS    = local.callers[each.value.caller].email
        EVENTPULSE_INVOKER_IAM = "enforced"
      } : {},
      each.value.caller == "operators" ? local.sign_in : {},
      each.value.caller == "devices" ? { EVENTPULSE_EDGE_URL = local.devices_url } : {},
    )

    dynamic "secret_environment_variables" {
      for_each = { for variable, secret in local.secret_variables : variable => secret if contains(local.secret_readers[secret], each.key) }

      content {
        key        = secret_environment_variables.key
        project_id = var.project_id
        secret     = google_secret_manager_secret.this[secret_environment_variables.value].secret_id
        version    = "latest"
      }
    }

    # The database has a private address only.
    direct_vpc_egress = var.variant == "cloudsql" ? "VPC_EGRESS_PRIVATE_RANGES_ONLY" : null

    dynamic "direct_vpc_network_interface" {
      for_each = google_compute_subnetwork.functions

      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.id
      }
    }
  }

  dynamic "event_trigger" {
    for_each = each.value.caller == "eventarc" ? [google_service_account.caller["eventarc"].email] : []

    content {
      event_type            = "google.cloud.storage.object.v1.finalized"
      trigger_region        = lower(var.location)
      retry_policy          = "RETRY_POLICY_RETRY"
      service_account_email = event_trigger.value

      event_filters {
        attribute = "bucket"
        value     = google_storage_bucket.this["raw"].name
      }
    }
  }

  depends_on = [
    google_project_service.this,
    google_artifact_registry_repository_iam_member.builder,
    google_project_iam_member.builder,
    google_project_iam_member.builder_sources,
    google_project_iam_member.storage_events,
    google_project_iam_member.event_receiver,
    google_secret_manager_secret_iam_member.reader,
    google_storage_bucket_iam_member.builder,
  ]
}

# Only its own caller gets in; Cloud Run checks that before the function does.
resource "google_cloud_run_service_iam_member" "caller" {
  for_each = local.internal

  project  = var.project_id
  location = var.region
  service  = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  member   = local.callers[each.value.caller].member
}
