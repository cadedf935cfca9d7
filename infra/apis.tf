locals {
  apis = concat(
    [
      "artifactregistry", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "cloudscheduler",
      "cloudtasks", "eventarc", "iam", "iamcredentials", "iap", "logging", "monitoring", "pubsub",
      "run", "secretmanager", "storage",
    ],
    local.on_google ? ["bigquery", "bigquerystorage", "firebaserules", "firestore"] : [],
    var.variant == "cloudsql" ? ["compute", "servicenetworking", "sqladmin"] : [],
    var.hosting == "load_balancer" ? ["compute"] : [],
    var.billing_account == "" ? [] : ["billingbudgets"],
    var.github_repository == "" ? [] : ["sts"],
  )
}

resource "google_project_service" "this" {
  for_each = toset([for each in local.apis : "${each}.googleapis.com"])

  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}
