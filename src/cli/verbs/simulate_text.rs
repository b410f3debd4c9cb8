//! A simulation as text.
//!
//! Input: [`Simulation`]. Output: text. I/O: none.

use std::fmt::Write as _;

use super::table;
use crate::explain::{Deferral, Restarted, Simulation};

/// What people read: who restarts and when, how many follow each other, and who does not restart.
pub(super) fn text(simulation: &Simulation, is_wide: bool) -> String {
    let missing = if simulation.exists == Some(false) {
        ", which does not exist"
    } else {
        ""
    };
    let count = simulation.restarts.len() + simulation.restarts_left_off;
    let plural = if count == 1 { "" } else { "s" };
    let at_once = match &simulation.plan {
        Some(plan) if plan.at_once < count => format!(", {} at once", plan.at_once),
        _ => String::new(),
    };
    let mut text = format!(
        "A change of {}{missing} restarts {count} workload{plural}{at_once}\n",
        simulation.source
    );
    if !simulation.restarts.is_empty() {
        text.push_str(&restarts(simulation, is_wide));
        text.push_str(&order(simulation));
    }
    if !simulation.left.is_empty() {
        text.push_str("\nNot restarted:\n");
        let rows = simulation.left.iter().map(|row| {
            vec![
                row.workload.kind.clone(),
                row.workload.name.clone(),
                row.rule.to_string(),
                row.because.clone(),
            ]
        });
        let rows: Vec<_> = rows.collect();
        text.push_str(&table::table(&["KIND", "NAME", "RULE", "BECAUSE"], &rows));
    }
    for (count, what) in [
        (simulation.restarts_left_off, "that restart"),
        (simulation.left_left_off, "that do not"),
    ] {
        if count > 0 {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{count} more {what} are not shown");
        }
    }
    text
}

/// A row for each that restarts.
fn restarts(simulation: &Simulation, is_wide: bool) -> String {
    let is_planned = simulation.plan.is_some();
    let has_waves = simulation
        .plan
        .as_ref()
        .is_some_and(|plan| !plan.waves.is_empty());
    let rows = simulation.restarts.iter().map(|row| {
        let mut cells = vec![
            row.workload.kind.clone(),
            row.workload.name.clone(),
            row.rule.to_string(),
            table::or_dash(row.container.as_ref()),
        ];
        if has_waves {
            cells.push(row.wave.to_string());
        }
        if is_planned {
            cells.push(when(row));
        }
        if is_wide {
            cells.push(table::or_dash(row.asked_for_by.as_ref()));
            cells.push(row.restart.clone());
            cells.push(table::or_dash(
                row.deferred.as_ref().map(|deferred| &deferred.message),
            ));
        }
        cells
    });
    let rows: Vec<_> = rows.collect();
    let mut headings = vec!["KIND", "NAME", "RULE", "CONTAINER"];
    if has_waves {
        headings.push("WAVE");
    }
    if is_planned {
        headings.push("WHEN");
    }
    if is_wide {
        headings.extend(["ASKED FOR BY", "RESTART", "WAITS FOR"]);
    }
    table::table(&headings, &rows)
}

/// `at once`, `canary`, or `window, until 2026-12-01T22:00:00Z`.
fn when(row: &Restarted) -> String {
    let Some(Deferral { reason, until, .. }) = &row.deferred else {
        return "at once".to_owned();
    };
    until.map_or_else(
        || reason.clone(),
        |until| format!("{reason}, until {}", table::time(until)),
    )
}

/// A line for each sentence, and what is not known.
fn order(simulation: &Simulation) -> String {
    let mut text = simulation.order.replace(". ", "\n");
    text.push('\n');
    match &simulation.plan {
        Some(plan) if !plan.unknown.is_empty() => {
            text.push_str("\nNot known without a replica, and not counted:\n");
            for unknown in &plan.unknown {
                let _ = writeln!(text, "- {unknown}");
            }
        }
        Some(_) => {}
        None => text.push_str("What limits make of it is not known: the replica is of an older version\n"),
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn simulation(plan: &Value) -> Simulation {
        let name = |name: &str| json!({ "kind": "Deployment", "namespace": "shop", "name": name });
        let waits = json!({ "reason": "window", "message": "not now", "until": "2026-12-01T22:00:00Z" });
        let mut simulation = json!({
            "version": "v1",
            "source": { "kind": "Secret", "namespace": "shop", "name": "db" },
            "restarts": [
                { "workload": name("api"), "rule": "auto", "restart": "Writes the digest" },
                { "workload": name("web"), "rule": "auto", "restart": "Writes the digest", "deferred": waits, "wave": 1 },
            ],
            "restartsLeftOff": 0,
            "left": [],
            "leftLeftOff": 0,
            "order": "1 of 2 restart at once. Then 1",
        });
        if !plan.is_null() {
            simulation["plan"] = plan.clone();
        }
        serde_json::from_value(simulation).unwrap()
    }

    fn plan(unknown: &[&str]) -> Value {
        json!({
            "atOnce": 1, "waiting": { "window": 1 }, "rollouts": [], "isCut": false, "notReached": {},
            "waves": [{ "wave": 0, "workloads": 1 }, { "wave": 1, "workloads": 1 }], "unknown": unknown,
        })
    }

    #[test]
    fn each_row_says_when_it_restarts() {
        let text = text(&simulation(&plan(&[])), false);
        let expected = "A change of Secret shop/db restarts 2 workloads, 1 at once\n\
            KIND         NAME   RULE   CONTAINER   WAVE   WHEN\n\
            Deployment   api    auto   -           0      at once\n\
            Deployment   web    auto   -           1      window, until 2026-12-01T22:00:00Z\n\
            1 of 2 restart at once\n\
            Then 1\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_the_objects_do_not_tell_is_listed() {
        let text = text(&simulation(&plan(&["flags"])), true);
        assert!(text.ends_with("not counted:\n- flags\n"), "{text}");
        assert!(text.contains("WAITS FOR") && text.contains("not now"), "{text}");
    }

    #[test]
    fn an_older_replica_knows_no_plan() {
        let text = text(&simulation(&Value::Null), false);
        assert!(
            text.contains("restarts 2 workloads\n") && !text.contains("WHEN"),
            "{text}"
        );
        assert!(text.contains("older version"), "{text}");
    }
}
