//! Finds mistakes in the annotations of files, without a cluster.
//!
//! Input: files. Output: findings, as text or for machines. I/O: reads files.
//!
//! ```text
//! files ─► document ─► check ─► report
//!          with lines   pure     text, JSON, SARIF
//! ```
//!
//! Objects are decoded by what the controller decodes them with, and their annotations checked by what it checks them
//! with: what it would say of the object is what is said here.

mod check;
mod document;
mod files;
mod report;

use crate::{
    args::LintArgs,
    cli::exit::Exit,
    config,
    diagnose::{Checker, Level},
};
use check::{Kinds, check};
use files::{Problem, read};
use report::Report;

/// Checks the files and returns what is to be printed.
pub(super) fn lint(args: &LintArgs) -> (Vec<u8>, Exit) {
    let keys = config::annotation_keys(&args.opt_in);
    let kinds = match Kinds::new(&args.workload_kind) {
        Ok(kinds) => kinds,
        Err(error) => {
            eprintln!("Error: --workload-kind: {error}");
            return (Vec::new(), Exit::Failure);
        }
    };
    let (texts, mut problems) = read(&args.files);
    let mut parsed = Vec::with_capacity(texts.len());
    for file in texts {
        match document::documents(&file.text) {
            Ok(documents) => parsed.push((file, documents)),
            Err(error) => problems.push(Problem::unreadable(&file.name, &file.text, &error)),
        }
    }
    let findings = check(&Checker::new(&keys), &keys, &kinds, &parsed);
    let is_clean = problems.is_empty() && findings.iter().all(|found| found.level() == Level::Note);
    for problem in &problems {
        eprintln!("{problem}");
    }
    let report = Report {
        findings: &findings,
        files: parsed.len(),
        objects: parsed.iter().map(|(_, documents)| documents.len()).sum(),
    };
    let exit = if is_clean { Exit::Success } else { Exit::Failure };
    (report.print(args.output).into_bytes(), exit)
}

#[cfg(test)]
mod tests;
