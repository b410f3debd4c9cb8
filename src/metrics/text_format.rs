//! The [text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/) that upstream serves, made
//! from the `OpenMetrics` text that `prometheus-client` writes.
//!
//! Input: `OpenMetrics` text. Output: the same samples as text format 0.0.4. I/O: none.
//!
//! It matters in three places: metadata names of counters (`# TYPE x_total counter`, not `x`), the one counter of
//! upstream whose name does not end in `_total`, and histogram bounds (`le="1"`, not `le="1.0"`), which recorded
//! queries may name.

/// The media type of [`from_open_metrics`]' result.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Rewrites names, types and bounds; everything else stays as it is.
pub(super) fn from_open_metrics(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len() + 1024);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Written together with the type, which decides about the name.
            help = rest.split_once(' ').map_or("", |(_name, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                // Only counters that must not get a suffix are of unknown type here.
                "unknown" => ("", "counter"),
                other => ("", other),
            };
            for part in [
                "# HELP ",
                name,
                suffix,
                " ",
                help,
                "\n# TYPE ",
                name,
                suffix,
                " ",
                kind,
                "\n",
            ] {
                out.push_str(part);
            }
        } else if !line.starts_with('#') {
            push_sample(&mut out, line);
        }
    }
    out
}

/// Go writes whole bounds without a fraction.
fn push_sample(out: &mut String, line: &str) {
    let bound = line
        .split_once("{le=\"")
        .and_then(|(name, rest)| Some((name, rest.split_once(".0\"")?)));
    match bound {
        Some((name, (digits, rest))) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            for part in [name, "{le=\"", digits, "\"", rest] {
                out.push_str(part);
            }
        }
        _ => out.push_str(line),
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_types_and_bounds_are_those_of_go() {
        let open_metrics = "\
# HELP reloads Reloads.
# TYPE reloads counter
reloads_total{success=\"true\"} 1
# HELP reloads_total_by_namespace Reloads by namespace.
# TYPE reloads_total_by_namespace unknown
reloads_total_by_namespace{namespace=\"shop\"} 1
# HELP build The version.
# TYPE build info
build_info{version=\"1.0\"} 1
# HELP depth Depth.
# TYPE depth gauge
depth 4
# HELP latency Latency.
# TYPE latency histogram
latency_sum 1.0
latency_count 1
latency_bucket{le=\"0.5\"} 0
latency_bucket{le=\"10.0\",version=\"1.0\"} 1
latency_bucket{le=\"0.05\",version=\"1.0\"} 1
latency_bucket{le=\"+Inf\"} 1
# EOF
";
        let expected = "\
# HELP reloads_total Reloads.
# TYPE reloads_total counter
reloads_total{success=\"true\"} 1
# HELP reloads_total_by_namespace Reloads by namespace.
# TYPE reloads_total_by_namespace counter
reloads_total_by_namespace{namespace=\"shop\"} 1
# HELP build_info The version.
# TYPE build_info gauge
build_info{version=\"1.0\"} 1
# HELP depth Depth.
# TYPE depth gauge
depth 4
# HELP latency Latency.
# TYPE latency histogram
latency_sum 1.0
latency_count 1
latency_bucket{le=\"0.5\"} 0
latency_bucket{le=\"10\",version=\"1.0\"} 1
latency_bucket{le=\"0.05\",version=\"1.0\"} 1
latency_bucket{le=\"+Inf\"} 1
";
        assert_eq!(from_open_metrics(open_metrics), expected);
    }
}
