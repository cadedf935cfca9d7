# What is counted of the functions' log lines (shared/eventpulse/pipeline/signals.py): `signal` says
# which lines, the fields become labels or, with `value`, a distribution.

locals {
  metrics = {
    ingestions_ended = {
      signal      = "ingestion.ended"
      description = "Ingestions that came to an end."
      filter      = ""
      labels      = { state = "Its state", reason = "Why it was rejected", dataset = "Its dataset" }
      value       = ""
      unit        = "1"
    }
    ingestions_prompt = {
      signal      = "ingestion.ended"
      description = "Ingestions that came to an end soon enough, and not by a fault of ours."
      filter      = "jsonPayload.state!=\"failed\" AND jsonPayload.seconds<=${var.prompt_seconds}"
      labels      = {}
      value       = ""
      unit        = "1"
    }
    rows_read = {
      signal      = "ingestion.ended"
      description = "Rows of files that came to an end."
      filter      = "jsonPayload.state!=\"duplicate\""
      labels      = { dataset = "Their dataset" }
      value       = "rows_read"
      unit        = "1"
    }
    rows_refused = {
      signal      = "ingestion.ended"
      description = "Rows of such files that went to the quarantine."
      filter      = "jsonPayload.state!=\"duplicate\""
      labels      = { dataset = "Their dataset" }
      value       = "rows_quarantined"
      unit        = "1"
    }
    datasets_late = {
      signal      = "dataset.late"
      description = "Datasets that were not loaded for longer than their contract's frequency, by sweep."
      filter      = ""
      labels      = { dataset = "The dataset" }
      value       = ""
      unit        = "1"
    }
    device_alerts = {
      signal      = "device.alert"
      description = "Alerts of devices that were opened."
      filter      = ""
      labels      = { rule = "Which alert" }
      value       = ""
      unit        = "1"
    }
    sweeps = {
      signal      = "swept"
      description = "Sweeps that ended."
      filter      = ""
      labels      = {}
      value       = ""
      unit        = "1"
    }
    sweep_faults = {
      signal      = "swept"
      description = "Parts of sweeps that faulted."
      filter      = "jsonPayload.faults>0"
      labels      = {}
      value       = ""
      unit        = "1"
    }
    oldest_waiting = {
      signal      = "swept"
      description = "For how long the oldest ingestion has been on its way."
      filter      = ""
      labels      = {}
      value       = "oldest_waiting_seconds"
      unit        = "s"
    }
  }
}

resource "google_logging_metric" "this" {
  for_each = local.metrics

  name        = "${var.name}/${each.key}"
  description = each.value.description
  filter = join(" AND ", compact([
    "resource.type=\"cloud_run_revision\"",
    "jsonPayload.signal=\"${each.value.signal}\"",
    each.value.filter,
  ]))

  label_extractors = { for label, _ in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }
  value_extractor  = each.value.value == "" ? null : "EXTRACT(jsonPayload.${each.value.value})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = each.value.value == "" ? "INT64" : "DISTRIBUTION"
    unit        = each.value.unit

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key         = labels.key
        value_type  = "STRING"
        description = labels.value
      }
    }
  }

  dynamic "bucket_options" {
    for_each = each.value.value == "" ? [] : [each.value.value]

    content {
      exponential_buckets {
        num_finite_buckets = 40
        growth_factor      = 2
        scale              = 1
      }
    }
  }

  depends_on = [google_project_service.this]
}
