//! The text of the annotations strategy's marker.
//!
//! Input: a [`Mark`], or the text on a pod template. Output: that text, or what it says. I/O: none.

use super::Mark;

impl Mark {
    /// The value of the pod template's `reloader.stakater.com/last-reloaded-from` annotation.
    pub fn annotation_value(&self) -> String {
        String::new()
    }
}
