//! Prints findings.
//!
//! Input: findings. Output: text, JSON or [SARIF 2.1.0](https://docs.oasis-open.org/sarif/sarif/v2.1.0/). I/O: none.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    check::Found,
    files::{line, one_line},
};
use crate::{
    args::LintOutput,
    diagnose::{Level, Mistake},
};

/// The form of SARIF's schema.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What is printed.
pub(super) struct Report<'a> {
    pub(super) findings: &'a [Found],
    pub(super) files: usize,
    pub(super) objects: usize,
}

impl Report<'_> {
    pub(super) fn print(&self, output: LintOutput) -> String {
        match output {
            LintOutput::Text => self.text(),
            LintOutput::Json => pretty(&self.findings.iter().map(json_of).collect()),
            LintOutput::Sarif => pretty(&self.sarif()),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for found in self.findings {
            let Found {
                file,
                line: number,
                kind,
                namespace,
                name,
                finding,
            } = found;
            let slash = if namespace.is_empty() { "" } else { "/" };
            let note = match found.level() {
                Level::Note => "note: ",
                Level::Warning => "",
            };
            let shown = format!(
                "{file}:{number} {kind} {namespace}{slash}{name}: {note}{finding} [{}]",
                finding.mistake.reason()
            );
            text.push_str(&line(&shown));
            text.push('\n');
        }
        let (objects, files) = (self.objects, self.files);
        let warnings = self
            .findings
            .iter()
            .filter(|found| found.level() == Level::Warning)
            .count();
        let notes = self.findings.len() - warnings;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{warnings} warning{}, {notes} note{} in {objects} object{} of {files} file{}",
            plural(warnings),
            plural(notes),
            plural(objects),
            plural(files),
        );
        text
    }

    fn sarif(&self) -> Value {
        let reasons = Mistake::REASONS.into_iter().chain([Mistake::MISSING]);
        let rules: Vec<Value> = reasons.clone().map(|reason| json!({ "id": reason })).collect();
        let results: Vec<Value> = self
            .findings
            .iter()
            .map(|found| {
                let reason = found.finding.mistake.reason();
                json!({
                    "ruleId": reason,
                    "ruleIndex": reasons.clone().position(|other| other == reason),
                    "level": level(found),
                    "message": { "text": one_line(&format!("{} {}: {}", found.kind, found.name, found.finding)) },
                    "locations": [{
                        "physicalLocation": {
                            "artifactLocation": { "uri": uri(&found.file) },
                            "region": { "startLine": found.line },
                        }
                    }],
                })
            })
            .collect();
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "reloader-lint",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                } },
                "results": results,
            }],
        })
    }
}

fn json_of(found: &Found) -> Value {
    json!({
        "file": found.file,
        "line": found.line,
        "kind": found.kind,
        "namespace": found.namespace,
        "name": found.name,
        "key": found.finding.key,
        "reason": found.finding.mistake.reason(),
        "level": level(found),
        "message": found.finding.to_string(),
        "suggestion": found.finding.mistake.suggestion(),
    })
}

fn level(found: &Found) -> &'static str {
    match found.level() {
        Level::Note => "note",
        Level::Warning => "warning",
    }
}

/// A relative reference, in which a URI's own characters are escaped.
fn uri(file: &str) -> String {
    let mut uri = String::with_capacity(file.len());
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(byte.into());
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

fn pretty(value: &Value) -> String {
    let mut text = format!("{value:#}");
    text.push('\n');
    text
}

const fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}
