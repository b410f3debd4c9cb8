//! The kinds that are workloads.
//!
//! Input: the texts of `--workload-kind`. Output: [`WorkloadKind`]s. I/O: none.

use crate::{
    args::CsvList,
    model::{CustomKind, WorkloadKind, workload_kind::CustomKindError},
};

/// The built-in kinds and these. They live as long as the process.
pub(super) fn workload_kinds(custom: &[CsvList]) -> Result<Vec<WorkloadKind>, CustomKindError> {
    let mut kinds = WorkloadKind::BUILT_IN.to_vec();
    for text in custom.iter().flat_map(|CsvList(items)| items) {
        match text.trim().parse::<CustomKind>() {
            Err(CustomKindError::BuiltIn(_)) => {}
            kind => kinds.push(WorkloadKind::Custom(Box::leak(Box::new(kind?)))),
        }
    }
    Ok(kinds)
}
