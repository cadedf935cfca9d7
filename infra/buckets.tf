locals {
  # What EVENTPULSE_OBJECTS names: the buckets are PREFIX-raw and so on (adapters/objects_gcs.py).
  bucket_prefix = "${var.project_id}-${var.name}"

  # expire: days after which objects are deleted. cold: days after which they move to cheaper storage.
  # old: days for which replaced and deleted generations are kept; 0: they are not kept at all.
  buckets = {
    raw        = { expire = 0, cold = 90, old = 0, versioned = true, soft_delete_days = 30 }
    quarantine = { expire = var.quarantine_days, cold = 0, old = 30, versioned = true, soft_delete_days = 7 }
    staged     = { expire = var.staged_days, cold = 0, old = 0, versioned = false, soft_delete_days = 0 }
    reports    = { expire = 0, cold = 365, old = 90, versioned = true, soft_delete_days = 30 }
  }

  bucket_roles = {
    view   = ["roles/storage.objectViewer"]
    create = ["roles/storage.objectCreator"]
    add    = ["roles/storage.objectViewer", "roles/storage.objectCreator"]
    edit   = ["roles/storage.objectUser"]
  }

  bucket_grants = merge([
    for function, each in local.functions : merge([
      for bucket, right in each.buckets : {
        for role in local.bucket_roles[right] : "${function}/${bucket}/${trimprefix(role, "roles/")}" => {
          function = function, bucket = bucket, role = role
        }
      }
    ]...)
  ]...)

  labels = { app = "eventpulse" }
}

resource "google_storage_bucket" "this" {
  for_each = local.buckets

  # checkov:skip=CKV_GCP_62:Access is in Cloud Audit Logs; usage logs would be a bucket more to guard and to pay.
  # checkov:skip=CKV_GCP_78:Staged rows are made again from raw objects; every other bucket is versioned.
  name                        = "${local.bucket_prefix}-${each.key}"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = local.labels

  versioning {
    enabled = each.value.versioned
  }

  soft_delete_policy {
    retention_duration_seconds = each.value.soft_delete_days * 24 * 60 * 60
  }

  dynamic "retention_policy" {
    for_each = each.key == "raw" && var.raw_retention_days > 0 ? [var.raw_retention_days] : []

    content {
      retention_period = tostring(retention_policy.value * 24 * 60 * 60)
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.expire > 0 ? [each.value.expire] : []

    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.old > 0 ? [each.value.old] : []

    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        with_state                 = "ARCHIVED"
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.cold > 0 ? [each.value.cold] : []

    content {
      action {
        type          = "SetStorageClass"
        storage_class = "NEARLINE"
      }
      condition {
        age                   = lifecycle_rule.value
        matches_storage_class = ["STANDARD"]
      }
    }
  }

  # Uploads that were begun and never finished.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  # A browser puts files straight into the raw bucket, at addresses that the api signs.
  dynamic "cors" {
    for_each = each.key == "raw" ? [local.dashboard_url] : []

    content {
      origin          = [cors.value]
      method          = ["PUT"]
      response_header = ["Content-Type", "Content-MD5", "x-goog-content-length-range", "x-goog-generation", "x-goog-if-generation-match", "x-goog-meta-sha256"]
      max_age_seconds = 3600
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "function" {
  for_each = local.bucket_grants

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.function[each.value.function].member
}

# --- Bundles -----------------------------------------------------------------------------------

locals {
  # A bundle's name holds the hash of its content: what is deployed is what its name says.
  bundles = {
    for key in keys(local.functions) : key => one(fileset(var.bundles, "${key}-????????????????.zip"))
  }
}

resource "google_storage_bucket" "bundles" {
  # checkov:skip=CKV_GCP_62:Access is in Cloud Audit Logs; usage logs would be a bucket more to guard and to pay.
  # checkov:skip=CKV_GCP_78:A bundle's name holds its hash: no object is ever replaced.
  name                        = "${local.bucket_prefix}-bundles"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = local.labels

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_object" "bundle" {
  for_each = local.bundles

  bucket       = google_storage_bucket.bundles.name
  name         = each.value
  source       = "${var.bundles}/${each.value}"
  content_type = "application/zip"

  lifecycle {
    precondition {
      condition     = each.value != null
      error_message = "There is not exactly one bundle of ${each.key} in ${var.bundles}; run `nox -s package`, or unpack a release's bundles there."
    }

    # A roll back needs the bundles that were deployed before.
    create_before_destroy = true
  }
}

resource "google_storage_bucket_iam_member" "builder" {
  bucket = google_storage_bucket.bundles.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.builder.member
}
