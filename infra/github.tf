# The repository's deploy job gets a Google identity from GitHub's token: no key is made or kept.

locals {
  federated = var.github_repository == "" ? {} : { github = var.github_repository }

  # What applying this configuration takes. It makes accounts and grants roles, so whoever may run
  # the deploy job administers the project; the environment's reviewers guard it.
  deployer_roles = [
    "roles/artifactregistry.admin", "roles/bigquery.dataOwner", "roles/cloudfunctions.developer",
    "roles/cloudscheduler.admin", "roles/cloudsql.admin", "roles/cloudtasks.admin",
    "roles/compute.loadBalancerAdmin", "roles/compute.networkAdmin", "roles/compute.securityAdmin", "roles/datastore.owner",
    "roles/eventarc.admin", "roles/firebaserules.admin", "roles/iam.roleAdmin",
    "roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountUser", "roles/iam.workloadIdentityPoolAdmin",
    "roles/iap.admin", "roles/logging.configWriter", "roles/monitoring.admin",
    "roles/resourcemanager.projectIamAdmin", "roles/run.admin", "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin", "roles/storage.admin",
  ]
}

resource "google_iam_workload_identity_pool" "github" {
  for_each = local.federated

  workload_identity_pool_id = "${var.name}-github"
  display_name              = "GitHub Actions"

  depends_on = [google_project_service.this]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  for_each = local.federated

  # checkov:skip=CKV_GCP_125:The condition names the repository and its environment; checkov cannot read the variable in it.
  workload_identity_pool_id          = google_iam_workload_identity_pool.github[each.key].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"

  # Only jobs of this repository's environment `production`, whose reviewers have let them pass.
  attribute_condition = "assertion.repository == \"${each.value}\" && assertion.sub == \"repo:${each.value}:environment:production\""
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account" "deployer" {
  for_each = local.federated

  account_id   = "${var.name}-deployer"
  display_name = "EventPulse: applies this configuration"

  depends_on = [google_project_service.this]
}

resource "google_service_account_iam_member" "deployer" {
  for_each = local.federated

  service_account_id = google_service_account.deployer[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${var.name}-github/subject/repo:${each.value}:environment:production"

  depends_on = [google_iam_workload_identity_pool_provider.github]
}

resource "google_project_iam_member" "deployer" {
  for_each = length(local.federated) > 0 ? toset(local.deployer_roles) : []

  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer["github"].member
}

# What the job publishes contracts and marts as: an admin of the API, and nothing in the project.
# An ID token or a JWT of it is made for each run, by the deployer.
resource "google_service_account" "publisher" {
  for_each = local.federated

  account_id   = "${var.name}-publisher"
  display_name = "EventPulse: publishes the repository's contracts"

  depends_on = [google_project_service.this]
}

resource "google_service_account_iam_member" "publisher" {
  for_each = local.federated

  service_account_id = google_service_account.publisher[each.key].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.deployer[each.key].member
}

resource "google_iap_web_cloud_run_service_iam_member" "publisher" {
  for_each = var.hosting == "iap" ? local.federated : {}

  project                = var.project_id
  location               = var.region
  cloud_run_service_name = google_cloudfunctions2_function.this["api"].name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = google_service_account.publisher[each.key].member

  depends_on = [terraform_data.iap]
}

resource "google_iap_web_backend_service_iam_member" "publisher" {
  for_each = var.hosting == "load_balancer" ? local.federated : {}

  project             = var.project_id
  web_backend_service = google_compute_backend_service.this["api"].name
  role                = "roles/iap.httpsResourceAccessor"
  member              = google_service_account.publisher[each.key].member
}
