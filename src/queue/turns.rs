//! Whose turn it is: round-robin over namespaces, one ring for each priority.
//!
//! Input: which namespaces have something due. Output: the namespace to serve next. I/O: none.

use std::{collections::BTreeMap, sync::Arc};

use super::priority::Priority;

/// Hand-outs of high priority in a row after which a waiting one of low priority goes first. During a takeover live
/// changes keep four fifths of the workers; in a storm of live changes, what the takeover found still gets a fifth.
pub const HIGH_IN_A_ROW: u32 = 4;

/// The rings.
#[derive(Debug, Default)]
pub struct Turns {
    /// Namespaces by the number they drew when they joined, lowest first; indexed by [`Priority`].
    rings: [BTreeMap<u64, Arc<str>>; 2],
    /// The next number to draw.
    next: u64,
    /// Hand-outs of high priority since a low one waits.
    high_in_a_row: u32,
}

impl Turns {
    /// Puts a namespace at the end of a ring; it must not be in it. Gives the number to leave with.
    pub fn join(&mut self, priority: Priority, namespace: &Arc<str>) -> u64 {
        let turn = self.next;
        self.next += 1;
        self.rings[priority as usize].insert(turn, Arc::clone(namespace));
        turn
    }

    /// Takes a namespace out of a ring.
    pub fn leave(&mut self, priority: Priority, turn: u64) {
        self.rings[priority as usize].remove(&turn);
    }

    /// Whether no namespace waits for a turn.
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(BTreeMap::is_empty)
    }

    /// The namespace to serve next and the priority to serve it at.
    pub fn first(&self) -> Option<(Priority, Arc<str>)> {
        let order = if self.high_in_a_row < HIGH_IN_A_ROW {
            [Priority::High, Priority::Low]
        } else {
            [Priority::Low, Priority::High]
        };
        order.into_iter().find_map(|priority| {
            let (_, namespace) = self.rings[priority as usize].first_key_value()?;
            Some((priority, Arc::clone(namespace)))
        })
    }

    /// Notes a hand-out; the namespace served is still in its ring.
    pub fn served(&mut self, priority: Priority) {
        let low_waits = !self.rings[Priority::Low as usize].is_empty();
        self.high_in_a_row = match priority {
            Priority::High if low_waits => self.high_in_a_row + 1,
            Priority::High | Priority::Low => 0,
        };
    }
}
