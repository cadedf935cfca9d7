variable "project_id" {
  description = "The Google Cloud project that everything is made in."
  type        = string
}

variable "name" {
  description = "What the names of functions, accounts, queues and secrets begin with."
  type        = string
  default     = "eventpulse"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}$", var.name))
    error_message = "name: 3 to 19 lower-case letters, digits and hyphens, a letter first (an account's name has at most 30 characters)."
  }
}

variable "variant" {
  description = "Where state and tables live: google (Firestore and BigQuery), cloudsql (a Postgres made here) or postgres (one of yours, by the secret database-url)."
  type        = string
  default     = "google"

  validation {
    condition     = contains(["google", "cloudsql", "postgres"], var.variant)
    error_message = "variant: google, cloudsql or postgres."
  }
}

variable "hosting" {
  description = "How people reach the API and the dashboard: tokens (the API checks their Google ID tokens itself), iap (Identity-Aware Proxy on the function's own address; needs an organisation) or load_balancer (the proxy on a domain of yours, with Cloud Armor). Only the last costs anything when idle."
  type        = string
  default     = "iap"

  validation {
    condition     = contains(["tokens", "iap", "load_balancer"], var.hosting)
    error_message = "hosting: tokens, iap or load_balancer."
  }
}

variable "domain" {
  description = "The domain of the load balancer's certificate; only with hosting = load_balancer."
  type        = string
  default     = ""

  validation {
    condition     = (var.domain != "") == (var.hosting == "load_balancer")
    error_message = "domain: set it with hosting = load_balancer, and only then."
  }
}

variable "region" {
  description = "Region of functions, queue and schedule."
  type        = string
  default     = "europe-west1"
}

variable "location" {
  description = "Location of the buckets and of BigQuery's datasets; the region lies in it."
  type        = string
  default     = "EU"

  validation {
    condition     = lower(var.location) == var.region || startswith(var.region, { EU = "europe-", US = "us-", ASIA = "asia-" }[upper(var.location)])
    error_message = "location: the region itself, or the multi-region (EU, US, ASIA) that it lies in."
  }
}

variable "firestore_location" {
  description = "Location of the Firestore database; it cannot be changed later."
  type        = string
  default     = "eur3"
}

variable "firestore_database" {
  description = "Name of the Firestore database. Only (default) has a free quota."
  type        = string
  default     = "(default)"
}

variable "bundles" {
  description = "Folder of the functions' zips: what `nox -s package` built, or a release's."
  type        = string
  default     = "../dist"
}

variable "operators" {
  description = "Whom IAP lets in: IAM members such as group:data@example.com. What they may do there, roles says."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.operators : can(regex("^(user|group|domain|serviceAccount):.+", each))])
    error_message = "operators: members as user:…, group:…, domain:… or serviceAccount:…; never allUsers."
  }
}

variable "roles" {
  description = "What operators may do, by role: viewer, operator, admin. Who: an address, @domain, or * for whoever IAP lets in."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = alltrue([for role in keys(var.roles) : contains(["viewer", "operator", "admin"], role)])
    error_message = "roles: viewer, operator and admin."
  }
}

variable "alert_emails" {
  description = "Who is mailed when an alert fires."
  type        = list(string)
  default     = []
}

variable "runbooks" {
  description = "Address of infra/README.md as operators read it; alerts link to its sections."
  type        = string
  default     = "https://github.com/OWNER/eventpulse/blob/main/infra/README.md"
}

variable "billing_account" {
  description = "Billing account of the budget; empty: no budget is made."
  type        = string
  default     = ""
}

variable "monthly_budget" {
  description = "What a month may cost, in the billing account's currency, before the budget's alerts."
  type        = number
  default     = 50
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose deploy job may apply this; empty: no federation is made."
  type        = string
  default     = ""

  validation {
    condition     = var.github_repository == "" || can(regex("^[^/]+/[^/]+$", var.github_repository))
    error_message = "github_repository: OWNER/NAME."
  }
}

variable "raw_retention_days" {
  description = "Days for which raw objects cannot be deleted or overwritten by anyone; 0: no such policy."
  type        = number
  default     = 0
}

variable "quarantine_days" {
  description = "Days after which refused rows are deleted; the raw file still has them."
  type        = number
  default     = 365
}

variable "staged_days" {
  description = "Days after which staged rows are deleted: longer than an ingestion may wait to be loaded."
  type        = number
  default     = 30

  validation {
    condition     = var.staged_days >= 7
    error_message = "staged_days: at least 7, or a load that waits over a long weekend finds its rows gone."
  }
}

variable "load_window_seconds" {
  description = "Loads of one table are collected for so long. BigQuery takes 1,500 load jobs a day and table: one per 57.6 s."
  type        = number
  default     = 60

  validation {
    condition     = var.load_window_seconds >= 58 || var.variant != "google"
    error_message = "load_window_seconds: at least 58, or BigQuery's 1,500 load jobs a day and table do not last."
  }
}

variable "sweep_minutes" {
  description = "Minutes between two sweeps."
  type        = number
  default     = 5

  validation {
    condition     = var.sweep_minutes >= 1 && var.sweep_minutes <= 30
    error_message = "sweep_minutes: 1 to 30."
  }
}

variable "openlineage_url" {
  description = "An OpenLineage endpoint that lineage is posted to as well, with the secret openlineage-key as its bearer token."
  type        = string
  default     = ""
}

variable "task_token" {
  description = "Whether the secret task-token lets callers without a Google identity past the functions' own check; unset: only with variant = postgres."
  type        = bool
  default     = null
}

variable "database" {
  description = "With Postgres: how many instances of each function may run at once (each holds up to 16 connections), and with variant = cloudsql what is made."
  type = object({
    max_instances       = optional(number, 2)
    tier                = optional(string, "db-g1-small")
    disk_gb             = optional(number, 10)
    max_connections     = optional(number, 200)
    highly_available    = optional(bool, false)
    deletion_protection = optional(bool, true)
  })
  default = {}
}

variable "log_level" {
  description = "DEBUG, INFO, WARNING or ERROR; alerts count lines of level INFO."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO"], var.log_level)
    error_message = "log_level: DEBUG or INFO; with less the log-based metrics and their alerts see nothing."
  }
}

variable "prompt_seconds" {
  description = "Within how many seconds a file should come to its end; the service level counts those that do."
  type        = number
  default     = 900
}

variable "stuck_seconds" {
  description = "After how many seconds on its way an ingestion is stuck. More than the load window and a lease."
  type        = number
  default     = 7200
}

variable "dead_task_attempts" {
  description = "How many calls of the queue may fail in half an hour before somebody is told."
  type        = number
  default     = 60
}
