//! An explanation as text.
//!
//! Input: [`Explanation`]. Output: text. I/O: none.

use std::fmt::Write as _;

use super::table::time;
use crate::explain::{Explanation, Held, Marker, Owes, SourceAnswer, Verdict};

/// The width of the names of facts.
const WIDTH: usize = 12;

/// What people read: first the verdict of each source, then why and what next.
pub(super) fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    let restarting = explanation
        .sources
        .iter()
        .filter(|source| source.verdict == Verdict::Restarts)
        .count();
    let count = explanation.sources.len() + explanation.sources_left_off;
    // Writing to a String does not fail.
    let _ = match (count, restarting) {
        (0, _) => writeln!(text, "{}: it has no source", explanation.workload),
        (1, 0) => writeln!(text, "{}: its source does not restart it", explanation.workload),
        (_, 0) => writeln!(
            text,
            "{}: none of its {count} sources restarts it",
            explanation.workload
        ),
        (1, _) => writeln!(text, "{}: its source restarts it", explanation.workload),
        _ => writeln!(
            text,
            "{}: {restarting} of its {count} sources restart it",
            explanation.workload
        ),
    };
    fact(&mut text, "Restart", &explanation.restart);
    let answered = explanation.replica.as_ref().map_or_else(
        || "the objects alone; what is unknown, a replica of Reloader knows".to_owned(),
        |replica| {
            let role = if replica.leads { "leads" } else { "does not lead" };
            format!("{} ({role}, version {})", replica.name, replica.version)
        },
    );
    fact(&mut text, "Answered by", &answered);
    for source in &explanation.sources {
        text.push('\n');
        of_source(&mut text, source);
    }
    if explanation.sources_left_off > 0 {
        let _ = writeln!(
            text,
            "\n{} more sources are not shown",
            explanation.sources_left_off
        );
    }
    if !explanation.findings.is_empty() {
        text.push_str("\nMistakes:\n");
        for finding in &explanation.findings {
            let _ = writeln!(text, "- {} [{}]", finding.message, finding.reason);
        }
    }
    if !explanation.notes.is_empty() {
        text.push_str("\nNotes:\n");
        for note in &explanation.notes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text
}

fn of_source(text: &mut String, answer: &SourceAnswer) {
    let verdict = match answer.verdict {
        Verdict::Restarts => "restarts it",
        Verdict::Refused => "does not restart it",
        Verdict::Unknown => "unknown",
    };
    let missing = if answer.exists == Some(false) {
        ", does not exist"
    } else {
        ""
    };
    let _ = writeln!(text, "{}: {verdict} ({}{missing})", answer.source, answer.rule);
    fact(text, "  because", &answer.because);
    if answer.used_by.is_empty() {
        fact(text, "  used by", "nothing in the pods");
    } else {
        fact(text, "  used by", &answer.used_by.join(", "));
    }
    fact(text, "  now", &held(answer.now.as_ref()));
    fact(text, "  pods have", &held(answer.settled.as_ref()));
    for marker in &answer.in_template {
        fact(text, "  marker", &marker_text(marker));
    }
    if let Some(at) = answer.changed_at {
        let by = answer
            .changed_by
            .as_ref()
            .map(|by| format!(" by {by}"))
            .unwrap_or_default();
        fact(text, "  changed", &format!("{}{by}", time(at)));
    }
    fact(text, "  owes", &debt_text(&answer.owes));
    fact(text, "  next", &answer.next);
}

fn fact(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{:<WIDTH$} {value}", format!("{name}:"));
}

fn held(held: Option<&Held>) -> String {
    match held {
        None => "unknown".to_owned(),
        Some(Held::Absent) => "nothing: it does not exist".to_owned(),
        Some(Held::Withheld) => "known to the controller, and not shown: a Secret".to_owned(),
        Some(Held::Digest(digest)) => digest.clone(),
    }
}

fn marker_text(marker: &Marker) -> String {
    let digest = marker.digest.as_deref().unwrap_or("no digest");
    let current = match marker.is_current {
        Some(true) => " (current)",
        Some(false) => " (not current)",
        None => "",
    };
    format!("{digest}{current} in {}", marker.place)
}

fn debt_text(debt: &Owes) -> String {
    let owed = match debt {
        Owes::Unknown => return "unknown".to_owned(),
        Owes::Nothing => return "nothing".to_owned(),
        Owes::Restart(owed) => owed,
    };
    let since = owed
        .since
        .map(|at| format!(" since {}", time(at)))
        .unwrap_or_default();
    let attempts = match owed.attempts {
        Some(attempts) if attempts > 0 => format!(", {attempts} failed attempts"),
        _ => String::new(),
    };
    let error = owed
        .last_error
        .as_ref()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    format!("a restart{since}{attempts}{error}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn explanation(sources: &serde_json::Value) -> Explanation {
        serde_json::from_value(json!({
            "version": "v1",
            "workload": { "kind": "Deployment", "namespace": "shop", "name": "web" },
            "uid": "u", "optedIn": true, "restart": "Writes the digest", "sources": sources,
            "findings": [{ "reason": "unknown-key", "key": "k", "message": "annotation k is unknown" }],
            "notes": ["a note"],
        }))
        .unwrap()
    }

    #[test]
    fn what_is_owed_is_said_with_its_error() {
        let text = text(&explanation(&json!([{
            "kind": "ConfigMap", "name": "app", "exists": true, "usedBy": ["envFrom in container main"],
            "verdict": "restarts", "rule": "auto", "because": "it is asked for", "now": { "digest": "d2" },
            "settled": "absent", "inTemplate": [{ "place": "variable V in container main", "digest": "d1", "isCurrent": false }],
            "changedAt": "2026-01-01T00:00:00Z", "changedBy": "kubectl",
            "owes": { "restart": { "since": "2026-01-01T00:00:01Z", "attempts": 2, "lastError": "denied" } },
            "next": "The restart is tried again",
        }])));
        assert_eq!(
            text,
            "Deployment shop/web: its source restarts it\n\
             Restart:     Writes the digest\n\
             Answered by: the objects alone; what is unknown, a replica of Reloader knows\n\n\
             configmap/app: restarts it (auto)\n\
             \u{20} because:   it is asked for\n\
             \u{20} used by:   envFrom in container main\n\
             \u{20} now:       d2\n\
             \u{20} pods have: nothing: it does not exist\n\
             \u{20} marker:    d1 (not current) in variable V in container main\n\
             \u{20} changed:   2026-01-01T00:00:00Z by kubectl\n\
             \u{20} owes:      a restart since 2026-01-01T00:00:01Z, 2 failed attempts: denied\n\
             \u{20} next:      The restart is tried again\n\n\
             Mistakes:\n- annotation k is unknown [unknown-key]\n\n\
             Notes:\n- a note\n"
        );
    }

    #[test]
    fn a_workload_without_sources_says_so() {
        assert!(text(&explanation(&json!([]))).starts_with("Deployment shop/web: it has no source\n"));
    }
}
