# Only with variant = google. The tables are made by the functions, from contracts.

locals {
  # What EVENTPULSE_WAREHOUSE names: the datasets are PREFIX_history and so on.
  dataset_prefix = replace(var.name, "-", "_")

  datasets = local.on_google ? {
    history = "Every row that was ever accepted, and which ingestions are active: what curated tables are made of."
    curated = "One row per key, from active ingestions: the trusted tables."
    marts   = "Views and tables made of curated tables."
  } : {}

  table_roles = {
    describe = ["roles/bigquery.metadataViewer"]
    view     = ["roles/bigquery.dataViewer"]
    edit     = ["roles/bigquery.dataEditor"]
  }

  table_grants = local.on_google ? merge([
    for function, each in local.functions : merge([
      for dataset, right in each.tables : {
        for role in local.table_roles[right] : "${function}/${dataset}/${trimprefix(role, "roles/")}" => {
          function = function, dataset = dataset, role = role
        }
      }
    ]...)
  ]...) : {}
}

resource "google_bigquery_dataset" "this" {
  for_each = local.datasets

  # checkov:skip=CKV_GCP_81:Google's own keys encrypt it.
  dataset_id                 = "${local.dataset_prefix}_${each.key}"
  description                = each.value
  location                   = var.location
  delete_contents_on_destroy = false
  max_time_travel_hours      = "168"
  labels                     = local.labels

  depends_on = [google_project_service.this]
}

resource "google_bigquery_dataset_iam_member" "function" {
  for_each = local.table_grants

  dataset_id = google_bigquery_dataset.this[each.value.dataset].dataset_id
  role       = each.value.role
  member     = google_service_account.function[each.value.function].member
}

resource "google_project_iam_member" "bigquery_jobs" {
  for_each = local.on_google ? { for key, each in local.functions : key => each if each.jobs } : {}

  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.function[each.key].member
}

resource "google_project_iam_member" "bigquery_sessions" {
  for_each = local.on_google ? { for key, each in local.functions : key => each if each.sessions } : {}

  project = var.project_id
  role    = "roles/bigquery.readSessionUser"
  member  = google_service_account.function[each.key].member
}
