# What the next steps need: README, "Deploy from nothing".

output "dashboard_url" {
  description = "Where operators open the dashboard, and what EVENTPULSE_URL is for the command line."
  value       = local.dashboard_url
}

output "devices_url" {
  description = "Where the Raspberry Pi agents call; empty without the function devices."
  value       = local.devices_url
}

output "load_balancer_address" {
  description = "What the domain's A record must be; empty without a load balancer."
  value       = one([for each in google_compute_global_address.this : each.address])
}

output "raw_bucket" {
  description = "Where files are put: <dataset>/<name>."
  value       = google_storage_bucket.this["raw"].name
}

output "environment" {
  description = "The variables with which a command on an operator's own machine uses the same stores, the secrets' values aside."
  value       = { for name, value in local.environment : name => value if startswith(name, "EVENTPULSE_") }
}

output "queue" {
  description = "The queue's full name, for gcloud tasks."
  value       = google_cloud_tasks_queue.this.id
}

output "functions" {
  description = "The functions' names, for gcloud functions and gcloud run."
  value       = { for key, each in google_cloudfunctions2_function.this : key => each.name }
}

output "accounts" {
  description = "The functions' service accounts."
  value       = { for key, each in google_service_account.function : key => each.email }
}

output "secrets" {
  description = "The secrets that need a value, for gcloud secrets versions add."
  value       = { for key, each in google_secret_manager_secret.this : key => each.secret_id }
}

output "database_address" {
  description = "The private address of the made Postgres; empty without one."
  value       = one([for each in google_sql_database_instance.this : each.private_ip_address])
}

output "datasets" {
  description = "BigQuery's datasets; empty without BigQuery."
  value       = { for key, each in google_bigquery_dataset.this : key => each.dataset_id }
}

output "deployer" {
  description = "The account that the repository's deploy job acts as; empty without federation."
  value       = one([for each in google_service_account.deployer : each.email])
}

output "publisher" {
  description = "The account that the deploy job publishes contracts and marts as; empty without federation."
  value       = one([for each in google_service_account.publisher : each.email])
}

output "hosting" {
  description = "How people reach the API, which says what token a command line needs."
  value       = var.hosting
}

output "federation" {
  description = "The provider that the deploy job presents its token to; empty without federation."
  value       = one([for each in google_iam_workload_identity_pool_provider.github : each.name])
}
