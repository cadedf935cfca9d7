# How people and devices reach the two functions that are not internal.

locals {
  balanced      = var.hosting == "load_balancer" ? { this = var.domain } : {}
  ingress       = var.hosting == "load_balancer" ? "ALLOW_INTERNAL_AND_GCLB" : "ALLOW_ALL"
  dashboard_url = var.hosting == "load_balancer" ? "https://${var.domain}" : local.addresses["api"]
  devices_url   = var.hosting == "load_balancer" ? "https://${var.domain}" : lookup(local.addresses, "devices", "")

  by_operators = { for key, each in local.functions : key => each if each.caller == "operators" }
  by_devices   = { for key, each in local.functions : key => each if each.caller == "devices" }
  outward      = merge(local.by_operators, local.by_devices)

  # Contracts and marts are an admin's to publish, the deploy job's too.
  publishers = [for each in google_service_account.publisher : each.email]
  roles      = merge(var.roles, length(local.federated) > 0 ? { admin = concat(lookup(var.roles, "admin", []), local.publishers) } : {})

  # How the API recognises people; what IAP asserts is made out to what it guards.
  sign_in = merge(
    length(local.roles) > 0 ? { EVENTPULSE_ROLES = join(";", [for role, who in local.roles : "${role}=${join(",", who)}"]) } : {},
    {
      tokens        = { EVENTPULSE_AUDIENCES = local.dashboard_url }
      iap           = { EVENTPULSE_IAP_AUDIENCE = "/projects/${data.google_project.this.number}/locations/${var.region}/services/${var.name}-api" }
      load_balancer = { EVENTPULSE_IAP_AUDIENCE = join(",", [for each in google_compute_backend_service.this : "/projects/${data.google_project.this.number}/global/backendServices/${each.generated_id}"]) }
    }[var.hosting],
  )

  # Whose own check of the caller stands where Cloud Run's would be: devices have keys and no Google
  # account, and Cloud Run would hand operators' tokens on without their signature.
  open = var.hosting == "tokens" ? local.outward : local.by_devices

  iap_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-iap.iam.gserviceaccount.com"
}

# Two switches of Cloud Run that a function's resource does not have; each deployment sets them again.
# allUsers is granted nowhere: an organisation's policy may forbid it, and a plan that grants it fails.
resource "terraform_data" "open" {
  for_each = local.open

  triggers_replace = google_cloudfunctions2_function.this[each.key].update_time

  provisioner "local-exec" {
    command = "gcloud run services update ${var.name}-${each.key} --project=${var.project_id} --region=${var.region} --no-invoker-iam-check"
  }
}

resource "terraform_data" "iap" {
  for_each = var.hosting == "iap" ? local.by_operators : {}

  triggers_replace = google_cloudfunctions2_function.this[each.key].update_time

  provisioner "local-exec" {
    command = "gcloud beta run services update ${var.name}-${each.key} --project=${var.project_id} --region=${var.region} --iap"
  }
}

# With IAP, the proxy is the only one that may call the function.
resource "google_cloud_run_service_iam_member" "iap" {
  for_each = var.hosting == "tokens" ? {} : local.by_operators

  project  = var.project_id
  location = var.region
  service  = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  member   = local.iap_agent
}

resource "google_iap_web_cloud_run_service_iam_member" "operator" {
  for_each = var.hosting == "iap" ? toset(var.operators) : []

  project                = var.project_id
  location               = var.region
  cloud_run_service_name = google_cloudfunctions2_function.this["api"].name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value

  depends_on = [terraform_data.iap]
}

# --- load_balancer: one domain, IAP for people, Cloud Armor for devices ---------------------------

resource "google_compute_global_address" "this" {
  for_each = local.balanced

  name = var.name

  depends_on = [google_project_service.this]
}

resource "google_compute_managed_ssl_certificate" "this" {
  for_each = local.balanced

  name = var.name

  managed {
    domains = [each.value]
  }

  depends_on = [google_project_service.this]
}

resource "google_compute_ssl_policy" "this" {
  for_each = local.balanced

  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.this]
}

resource "google_compute_region_network_endpoint_group" "this" {
  for_each = length(local.balanced) > 0 ? local.outward : {}

  name                  = "${var.name}-${each.key}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  # By name: the api's own setting names the backend that leads here, and would be a cycle.
  cloud_run {
    service = "${var.name}-${each.key}"
  }

  depends_on = [google_project_service.this]
}

resource "google_compute_security_policy" "devices" {
  for_each = local.balanced

  name = "${var.name}-devices"

  rule {
    description = "A device asks for a few addresses a minute; whoever asks for hundreds is none."
    action      = "throttle"
    priority    = 1000

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = 600
        interval_sec = 60
      }
    }
  }

  rule {
    description = "Log4j's hole (CVE-2021-44228) and its kin."
    action      = "deny(403)"
    priority    = 900

    match {
      expr {
        expression = "evaluatePreconfiguredExpr('cve-canary')"
      }
    }
  }

  rule {
    description = "The rule that every policy has: what the ones above let through."
    action      = "allow"
    priority    = 2147483647

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_compute_backend_service" "this" {
  for_each = length(local.balanced) > 0 ? local.outward : {}

  name                  = "${var.name}-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = each.value.caller == "devices" ? google_compute_security_policy.devices["this"].id : null

  backend {
    group = google_compute_region_network_endpoint_group.this[each.key].id
  }

  iap {
    enabled = each.value.caller == "operators"
  }

  log_config {
    enable      = true
    sample_rate = 1
  }
}

resource "google_iap_web_backend_service_iam_member" "operator" {
  for_each = length(local.balanced) > 0 ? toset(var.operators) : []

  project             = var.project_id
  web_backend_service = google_compute_backend_service.this["api"].name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

resource "google_compute_url_map" "this" {
  for_each = local.balanced

  name            = var.name
  default_service = google_compute_backend_service.this["api"].id

  host_rule {
    hosts        = [each.value]
    path_matcher = "eventpulse"
  }

  path_matcher {
    name            = "eventpulse"
    default_service = google_compute_backend_service.this["api"].id

    dynamic "path_rule" {
      for_each = local.by_devices

      content {
        paths   = ["/api/edge/*"]
        service = google_compute_backend_service.this[path_rule.key].id
      }
    }
  }
}

resource "google_compute_target_https_proxy" "this" {
  for_each = local.balanced

  name             = var.name
  url_map          = google_compute_url_map.this[each.key].id
  ssl_certificates = [google_compute_managed_ssl_certificate.this[each.key].id]
  ssl_policy       = google_compute_ssl_policy.this[each.key].id
}

resource "google_compute_global_forwarding_rule" "this" {
  for_each = local.balanced

  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this[each.key].address
  port_range            = "443"
  target                = google_compute_target_https_proxy.this[each.key].id
}
