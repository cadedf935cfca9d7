# Each alert says what it means and links to its section of the README. Queries are PromQL, as Cloud
# Monitoring reads it: metrics of log lines are logging_googleapis_com:user_<name>. Such a metric may be
# one of several kinds of resource, so each query says which it means, or it is refused.

locals {
  of_functions = "monitored_resource=\"cloud_run_revision\""

  user_metric = { for key in keys(local.metrics) : key => "logging_googleapis_com:user_${replace(var.name, "-", "_")}_${key}" }

  functions_pattern = "${var.name}-(${join("|", sort(keys(local.functions)))})"

  alerts = {
    ingestions-failed = {
      severity = "ERROR"
      title    = "Ingestions failed"
      query    = "sum(increase(${local.user_metric.ingestions_ended}{${local.of_functions},state=\"failed\"}[15m])) > 0"
      duration = "0s"
      meaning  = "A fault outlived all attempts of a step. The files are kept; nothing is lost."
    }
    quarantine-share = {
      severity = "WARNING"
      title    = "Many rows refused"
      query    = "sum by (dataset) (increase(${local.user_metric.rows_refused}_sum{${local.of_functions}}[1h])) / sum by (dataset) (increase(${local.user_metric.rows_read}_sum{${local.of_functions}}[1h])) > 0.1"
      duration = "0s"
      meaning  = "More than a tenth of a dataset's rows of the last hour broke its contract."
    }
    dataset-late = {
      severity = "WARNING"
      title    = "A dataset is late"
      query    = "sum by (dataset) (increase(${local.user_metric.datasets_late}{${local.of_functions}}[30m])) > 0"
      duration = "0s"
      meaning  = "Nothing was loaded for longer than the contract's frequency says."
    }
    oldest-waiting = {
      severity = "ERROR"
      title    = "An ingestion is stuck"
      query    = "max(rate(${local.user_metric.oldest_waiting}_sum{${local.of_functions}}[15m]) / rate(${local.user_metric.oldest_waiting}_count{${local.of_functions}}[15m])) > ${var.stuck_seconds}"
      duration = "0s"
      meaning  = "An ingestion has been on its way for too long, though sweep wakes whatever waits."
    }
    tasks-failing = {
      severity = "WARNING"
      title    = "Tasks keep failing"
      query    = "sum(increase(cloudtasks_googleapis_com:queue_task_attempt_count{queue_id=\"${local.queue}\",response_code!~\"2..|OK|ok\"}[30m])) > ${var.dead_task_attempts}"
      duration = "0s"
      meaning  = "Calls of the queue are refused or fault, again and again."
    }
    devices-offline = {
      severity = "WARNING"
      title    = "Devices went offline"
      query    = "sum(increase(${local.user_metric.device_alerts}{${local.of_functions},rule=\"offline\"}[15m])) > 0"
      duration = "0s"
      meaning  = "Devices have not spoken for longer than their contract allows."
    }
    sweep-silent = {
      severity = "CRITICAL"
      title    = "Sweep does not run"
      query    = "absent_over_time(${local.user_metric.sweeps}{${local.of_functions}}[${3 * var.sweep_minutes}m])"
      duration = "300s"
      meaning  = "Nothing looks for lost events and stuck work any more."
    }
    sweep-faults = {
      severity = "WARNING"
      title    = "Sweep faults"
      query    = "sum(increase(${local.user_metric.sweep_faults}{${local.of_functions}}[30m])) > 2"
      duration = "0s"
      meaning  = "Some part of sweep has faulted repeatedly: a store does not answer, or an object cannot be landed."
    }
    error-rate = {
      severity = "ERROR"
      title    = "Functions answer with errors"
      query    = "sum by (service_name) (rate(run_googleapis_com:request_count{service_name=~\"${local.functions_pattern}\",response_code_class=\"5xx\"}[15m])) / sum by (service_name) (rate(run_googleapis_com:request_count{service_name=~\"${local.functions_pattern}\"}[15m])) > 0.05"
      duration = "600s"
      meaning  = "More than one call in twenty of a function ends in 5xx."
    }
    misconfigured = {
      severity = "CRITICAL"
      title    = "A function is misconfigured"
      query    = "sum(increase(logging_googleapis_com:log_entry_count{${local.of_functions},severity=\"CRITICAL\",service_name=~\"${local.functions_pattern}\"}[10m])) > 0"
      duration = "0s"
      meaning  = "A setting is missing or wrong; its name stands in the log line."
    }
  }

  # How fast the month's share of slow and failed ingestions may be used up: 2% of it in an hour, 5% in six.
  burn_rates = {
    fast = { window = "3600s", rate = 14.4, severity = "CRITICAL" }
    slow = { window = "21600s", rate = 6, severity = "WARNING" }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  display_name = "EventPulse: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [google_project_service.this]
}

locals {
  channels = [for each in google_monitoring_notification_channel.email : each.id]
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  display_name          = "EventPulse: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # A metric of log lines exists from its first line on.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.meaning}\n\nWhat to do: ${var.runbooks}#${each.key}"

    links {
      display_name = "Runbook"
      url          = "${var.runbooks}#${each.key}"
    }
  }

  depends_on = [google_logging_metric.this]
}

# --- Service level: files end soon ---------------------------------------------------------------

resource "google_monitoring_custom_service" "this" {
  service_id   = var.name
  display_name = "EventPulse"

  depends_on = [google_project_service.this]
}

resource "google_monitoring_slo" "prompt" {
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "prompt"
  display_name        = "Files come to an end within ${var.prompt_seconds} s, and not by a fault of ours"
  goal                = 0.99
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      good_service_filter  = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["ingestions_prompt"].name}\" resource.type=\"cloud_run_revision\""
      total_service_filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["ingestions_ended"].name}\" resource.type=\"cloud_run_revision\""
    }
  }
}

resource "google_monitoring_alert_policy" "burn_rate" {
  for_each = local.burn_rates

  display_name          = "EventPulse: Files take too long (${each.key} burn)"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "The service level is used up ${each.value.rate} times too fast"

    condition_threshold {
      filter          = "select_slo_burn_rate(\"${google_monitoring_slo.prompt.name}\", \"${each.value.window}\")"
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.rate
      duration        = "0s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Too many files fail or take longer than ${var.prompt_seconds} s.\n\nWhat to do: ${var.runbooks}#burn-rate"

    links {
      display_name = "Runbook"
      url          = "${var.runbooks}#burn-rate"
    }
  }
}

# --- From outside ----------------------------------------------------------------------------------

# Of the API, that its sign-in answers: no check from outside gets past it. A check follows the proxy's
# redirection to Google's page, which answers 200. Of the devices' function, that it does its work.
resource "google_monitoring_uptime_check_config" "this" {
  for_each = local.outward

  display_name = "EventPulse: ${each.key}"
  period       = "300s"
  timeout      = "10s"

  http_check {
    path           = each.value.caller == "devices" ? "/api/edge/time" : "/api/health"
    port           = 443
    use_ssl        = true
    validate_ssl   = true
    request_method = "GET"

    dynamic "accepted_response_status_codes" {
      for_each = each.value.caller == "operators" && var.hosting != "tokens" ? ["STATUS_CLASS_2XX", "STATUS_CLASS_3XX", "STATUS_CLASS_4XX"] : ["STATUS_CLASS_2XX"]

      content {
        status_class = accepted_response_status_codes.value
      }
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = trimprefix(each.value.caller == "devices" ? local.devices_url : local.dashboard_url, "https://")
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "down" {
  for_each = google_monitoring_uptime_check_config.this

  display_name          = "EventPulse: ${each.key} is down"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "Two checks from outside fail"

    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" resource.type=\"uptime_url\" metric.labels.check_id=\"${each.value.uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "600s"

      aggregations {
        alignment_period     = "600s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.key} does not answer from outside.\n\nWhat to do: ${var.runbooks}#down"

    links {
      display_name = "Runbook"
      url          = "${var.runbooks}#down"
    }
  }
}

# --- Cost ------------------------------------------------------------------------------------------

resource "google_billing_budget" "this" {
  for_each = var.billing_account == "" ? {} : { this = var.billing_account }

  billing_account = each.value
  display_name    = "EventPulse in ${var.project_id}"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      units = tostring(var.monthly_budget)
    }
  }

  dynamic "threshold_rules" {
    for_each = { CURRENT_SPEND = 0.9, FORECASTED_SPEND = 1.2 }

    content {
      spend_basis       = threshold_rules.key
      threshold_percent = threshold_rules.value
    }
  }

  all_updates_rule {
    monitoring_notification_channels = local.channels
    disable_default_iam_recipients   = false
  }

  depends_on = [google_project_service.this]
}
