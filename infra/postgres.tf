# Only with variant = cloudsql: a Postgres with a private address, and the network that leads to it.

locals {
  made_database = var.variant == "cloudsql" ? { this = var.database } : {}
}

resource "google_compute_network" "this" {
  for_each = local.made_database

  # checkov:skip=CKV2_GCP_18:Nothing listens in it: functions go out, and what no rule allows is denied.
  name                    = var.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "functions" {
  for_each = local.made_database

  # checkov:skip=CKV_GCP_26:Only functions that reach one database are in it; its flow logs would cost more than it.
  # checkov:skip=CKV_GCP_76:Without IPv6 there is nothing for private access to IPv6 to do.
  name                     = "${var.name}-functions"
  network                  = google_compute_network.this[each.key].id
  region                   = var.region
  ip_cidr_range            = "10.8.0.0/24"
  private_ip_google_access = true
}

resource "google_compute_global_address" "database" {
  for_each = local.made_database

  name          = "${var.name}-database"
  network       = google_compute_network.this[each.key].id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_service_networking_connection" "database" {
  for_each = local.made_database

  network                 = google_compute_network.this[each.key].id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database[each.key].name]
}

resource "google_sql_database_instance" "this" {
  for_each = local.made_database

  # checkov:skip=CKV_GCP_6:Connections are encrypted; a client certificate for each function would be a secret more to rotate.
  # checkov:skip=CKV_GCP_109:A statement in the log would show values of personal columns.
  # checkov:skip=CKV2_GCP_13:One line for each statement would cost more than the database.
  name                = var.name
  region              = var.region
  database_version    = "POSTGRES_18"
  deletion_protection = each.value.deletion_protection

  settings {
    edition                     = "ENTERPRISE"
    tier                        = each.value.tier
    availability_type           = each.value.highly_available ? "REGIONAL" : "ZONAL"
    disk_size                   = each.value.disk_gb
    disk_type                   = "PD_SSD"
    disk_autoresize             = true
    deletion_protection_enabled = each.value.deletion_protection
    user_labels                 = local.labels

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.this[each.key].id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = 14
      }
    }

    maintenance_window {
      day  = 7
      hour = 3
    }

    database_flags {
      name  = "max_connections"
      value = tostring(each.value.max_connections)
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_connections"
      value = "on"
    }

    database_flags {
      name  = "log_disconnections"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    database_flags {
      name  = "log_hostname"
      value = "on"
    }

    database_flags {
      name  = "log_statement"
      value = "ddl"
    }

    database_flags {
      name  = "log_min_messages"
      value = "error"
    }

    database_flags {
      name  = "log_temp_files"
      value = "0"
    }

    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }

    # Statements hold values of personal columns: none is logged for being slow or wrong.
    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }

    database_flags {
      name  = "log_min_error_statement"
      value = "panic"
    }
  }

  depends_on = [google_service_networking_connection.database]
}

resource "google_sql_database" "this" {
  for_each = local.made_database

  name            = "eventpulse"
  instance        = google_sql_database_instance.this[each.key].name
  deletion_policy = "ABANDON"
}
