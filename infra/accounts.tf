# One account per function, one per caller of functions, one that builds them.

resource "google_service_account" "function" {
  for_each = local.functions

  account_id   = "${var.name}-${each.key}"
  display_name = "EventPulse function ${each.key}"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "caller" {
  for_each = toset(["eventarc", "scheduler", "tasks"])

  account_id   = "${var.name}-by-${each.key}"
  display_name = "EventPulse: calls by ${each.key}"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "builder" {
  account_id   = "${var.name}-builder"
  display_name = "EventPulse: builds the functions"

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "event_receiver" {
  project = var.project_id
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.caller["eventarc"].member
}

# Cloud Storage's own account publishes the buckets' events.
data "google_storage_project_service_account" "this" {
  project = var.project_id
}

resource "google_project_iam_member" "storage_events" {
  project = var.project_id
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_project_service_account.this.member
}

resource "google_project_iam_member" "builder" {
  for_each = toset(["roles/logging.logWriter"])

  project = var.project_id
  role    = each.value
  member  = google_service_account.builder.member
}

# The service copies a bundle into a bucket of its own, named after project and region, to build it.
resource "google_project_iam_member" "builder_sources" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.builder.member

  condition {
    title      = "sources of functions"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}\")"
  }
}

# Signing an upload's address takes one permission, on the very account that signs.
resource "google_project_iam_custom_role" "signer" {
  role_id     = "${replace(var.name, "-", "_")}_signer"
  title       = "EventPulse: signs uploads"
  description = "Have IAM sign bytes with a service account's key, and nothing else."
  permissions = ["iam.serviceAccounts.signBlob"]

  depends_on = [google_project_service.this]
}

resource "google_service_account_iam_member" "signer" {
  for_each = { for key, each in local.functions : key => each if each.signs }

  service_account_id = google_service_account.function[each.key].name
  role               = google_project_iam_custom_role.signer.name
  member             = google_service_account.function[each.key].member
}
