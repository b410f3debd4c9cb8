//! Which safeguard is taken out. `simulation/defects.sh` puts this file into its copy of the controller.

use std::{env, sync::OnceLock};

/// Whether it is this one.
pub fn is(name: &str) -> bool {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    let chosen = NAME.get_or_init(|| env::var("DEFECT").ok());
    chosen.as_deref() == Some(name)
}
