# Terraform makes the secrets and says who reads them; their values are added by hand and stand in no
# state (README, "Rotate secrets").

locals {
  with_task_token = coalesce(var.task_token, var.variant == "postgres")

  # Which variable of a function has which secret's value.
  secret_variables = merge(
    local.on_postgres ? {
      EVENTPULSE_STATE     = "database-url"
      EVENTPULSE_WAREHOUSE = "database-url"
    } : {},
    local.with_task_token ? { TASK_TOKEN = "task-token" } : {},
    var.openlineage_url == "" ? {} : { EVENTPULSE_OPENLINEAGE_API_KEY = "openlineage-key" },
  )

  secret_readers = {
    database-url    = [for key, each in local.functions : key if each.log]
    task-token      = keys(local.internal)
    openlineage-key = ["lineage"]
  }

  secret_grants = merge([
    for secret in distinct(values(local.secret_variables)) : {
      for function in local.secret_readers[secret] : "${function}/${secret}" => {
        function = function, secret = secret
      }
    }
  ]...)
}

resource "google_secret_manager_secret" "this" {
  for_each = toset(values(local.secret_variables))

  # checkov:skip=CKV_GCP_224:Google's own keys encrypt it.
  secret_id           = "${var.name}-${each.value}"
  labels              = local.labels
  deletion_protection = true

  replication {
    auto {}
  }

  depends_on = [google_project_service.this]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secret_grants

  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member
}
