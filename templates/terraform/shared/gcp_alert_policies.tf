resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  display_name          = "${var.name} ${replace(each.key, "_", " ")}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  documentation {
    content = each.value.description
  }

  conditions {
    display_name = each.value.description

    condition_threshold {
      filter                  = "${local.alert_scopes[each.value.resource]} AND metric.type = \"${each.value.metric}\"${each.value.condition}"
      denominator_filter      = each.value.share ? "${local.alert_scopes[each.value.resource]} AND metric.type = \"${each.value.metric}\"" : null
      comparison              = each.value.comparison
      threshold_value         = each.value.threshold
      duration                = "${each.value.seconds}s"
      evaluation_missing_data = each.value.seconds > 0 ? "EVALUATION_MISSING_DATA_INACTIVE" : null

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = each.value.group_by
      }

      dynamic "denominator_aggregations" {
        for_each = each.value.share ? [each.value] : []

        content {
          alignment_period     = "300s"
          per_series_aligner   = denominator_aggregations.value.aligner
          cross_series_reducer = denominator_aggregations.value.reducer
          group_by_fields      = denominator_aggregations.value.group_by
        }
      }
    }
  }
}
