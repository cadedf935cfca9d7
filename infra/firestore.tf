# Only with variant = google. No document has a time to live: a stream is never cut (README, "What is
# never deleted").

locals {
  firestore = jsondecode(file("${path.module}/firestore.indexes.json"))

  firestore_indexes = local.on_google ? {
    for each in local.firestore.indexes :
    "${each.collectionGroup}: ${join(", ", [for field in each.fields : "${field.fieldPath} ${lower(field.order)}"])}" => each
  } : {}

  firestore_exemptions = local.on_google ? {
    for each in local.firestore.fieldOverrides : "${each.collectionGroup}.${each.fieldPath}" => each
  } : {}
}

resource "google_firestore_database" "this" {
  for_each = local.on_google ? { state = var.firestore_database } : {}

  # checkov:skip=CKV_GCP_168:Google's own keys encrypt it.
  name                              = each.value
  location_id                       = var.firestore_location
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "OPTIMISTIC"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON"

  depends_on = [google_project_service.this]
}

resource "google_firestore_backup_schedule" "daily" {
  for_each = google_firestore_database.this

  database  = each.value.name
  retention = "1209600s" # 14 days

  daily_recurrence {}
}

resource "google_firestore_index" "this" {
  for_each = local.firestore_indexes

  database    = google_firestore_database.this["state"].name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value.fieldPath
      order      = fields.value.order
    }
  }
}

# What is only ever read whole has no index: each would be written, and paid, with every event.
resource "google_firestore_field" "unindexed" {
  for_each = local.firestore_exemptions

  database   = google_firestore_database.this["state"].name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {}
}

# Browsers and phones have no business here: only service accounts, by IAM.
resource "google_firebaserules_ruleset" "deny" {
  for_each = google_firestore_database.this

  source {
    files {
      name    = "firestore.rules"
      content = file("${path.module}/firestore.rules")
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_firebaserules_release" "deny" {
  for_each = google_firestore_database.this

  name         = each.value.name == "(default)" ? "cloud.firestore" : "cloud.firestore/${each.value.name}"
  ruleset_name = google_firebaserules_ruleset.deny[each.key].name
}

resource "google_project_iam_member" "firestore" {
  for_each = local.on_google ? { for key, each in local.functions : key => each if each.log } : {}

  project = var.project_id
  role    = "roles/datastore.user"
  member  = google_service_account.function[each.key].member

  condition {
    title      = "the event log"
    expression = "resource.name == \"projects/${var.project_id}/databases/${var.firestore_database}\""
  }
}
