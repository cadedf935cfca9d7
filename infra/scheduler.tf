resource "google_cloud_scheduler_job" "this" {
  for_each = { for key, each in local.functions : key => each if each.caller == "scheduler" }

  name             = "${var.name}-${each.key}"
  description      = "Finds what no event and no task will wake."
  region           = var.region
  schedule         = "*/${var.sweep_minutes} * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.dispatch_deadline}s"

  retry_config {
    retry_count = 0 # the next round is soon enough
  }

  http_target {
    uri         = local.addresses[each.key]
    http_method = "POST"
    body        = base64encode("{}")
    headers     = { "Content-Type" = "application/json" }

    oidc_token {
      service_account_email = google_service_account.caller["scheduler"].email
      audience              = local.addresses[each.key]
    }
  }

  depends_on = [google_cloudfunctions2_function.this]
}
