# terraform's own tests of the configuration, against mocked providers: `terraform test`.

mock_provider "google" {
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }

  mock_data "google_storage_project_service_account" {
    defaults = {
      member = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id = "demo-project"
}

run "google_is_the_default" {
  command = plan

  assert {
    condition     = length(google_firestore_database.this) == 1 && length(google_bigquery_dataset.this) == 3
    error_message = "The default has a Firestore database and three BigQuery datasets."
  }

  assert {
    condition     = length(google_sql_database_instance.this) == 0 && length(google_secret_manager_secret.this) == 0
    error_message = "The default has neither a Postgres nor a secret."
  }

  assert {
    condition     = toset(keys(google_cloudfunctions2_function.this)) == toset(keys(google_service_account.function))
    error_message = "Each function has an account of its own."
  }
}

run "cloudsql_makes_a_private_postgres" {
  command = plan

  variables {
    variant = "cloudsql"
  }

  assert {
    condition     = length(google_sql_database_instance.this) == 1 && length(google_firestore_database.this) == 0 && length(google_bigquery_dataset.this) == 0
    error_message = "cloudsql has a Postgres instead of Firestore and BigQuery."
  }

  assert {
    condition     = google_sql_database_instance.this["this"].settings[0].ip_configuration[0].ipv4_enabled == false
    error_message = "The Postgres has no public address."
  }

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.this : each.service_config[0].direct_vpc_egress == "VPC_EGRESS_PRIVATE_RANGES_ONLY"])
    error_message = "Every function reaches the Postgres through the network."
  }

  assert {
    condition     = keys(google_secret_manager_secret.this) == ["database-url"]
    error_message = "The Postgres's URL is a secret."
  }
}

run "minimal_needs_a_postgres_of_yours_and_nothing_else" {
  command = plan

  variables {
    variant = "postgres"
  }

  assert {
    condition     = length(google_sql_database_instance.this) == 0 && length(google_compute_network.this) == 0
    error_message = "minimal makes neither a Postgres nor a network."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret.this)) == toset(["database-url", "task-token"])
    error_message = "minimal has the secrets database-url and task-token."
  }

  assert {
    condition     = length(google_billing_budget.this) == 0 && length(google_iam_workload_identity_pool.github) == 0 && length(google_compute_url_map.this) == 0
    error_message = "What is not asked for is not made."
  }
}

run "minimal_behind_a_load_balancer" {
  command = plan

  variables {
    variant = "postgres"
    hosting = "load_balancer"
    domain  = "eventpulse.example.com"
  }

  assert {
    condition     = output.dashboard_url == "https://eventpulse.example.com"
    error_message = "The dashboard is at the domain."
  }

  assert {
    condition     = toset(keys(output.functions)) == toset(keys(google_cloudfunctions2_function.this))
    error_message = "Every function is among the outputs."
  }
}

run "a_domain_without_a_load_balancer_is_refused" {
  command = plan

  variables {
    domain = "eventpulse.example.com"
  }

  expect_failures = [var.domain]
}

run "all_users_are_refused" {
  command = plan

  variables {
    operators = ["allUsers"]
  }

  expect_failures = [var.operators]
}

run "a_region_outside_the_location_is_refused" {
  command = plan

  variables {
    region = "us-central1"
  }

  expect_failures = [var.location]
}

run "a_load_window_that_wears_out_the_quota_is_refused" {
  command = plan

  variables {
    load_window_seconds = 10
  }

  expect_failures = [var.load_window_seconds]
}

run "missing_bundles_are_named" {
  command = plan

  variables {
    bundles = "../nothing-here"
  }

  expect_failures = [google_storage_bucket_object.bundle]
}
