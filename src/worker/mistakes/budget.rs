//! How much is said of mistakes within an hour.
//!
//! Input: namespaces, the time. Output: whether an Event may be written; which namespaces have to wait. I/O: none.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

/// Events about mistakes in one namespace within [`WINDOW`], at most.
pub(super) const NAMESPACE: usize = 20;
/// And in all.
pub(super) const TOTAL: usize = 500;
/// Of these, so many are kept for namespaces of which no more than [`FIRST`] were written: 20 or 30 that are full of mistakes
/// would use up all of them, and what a calm one has to say would wait for an hour.
const RESERVED: usize = 100;
/// Events of a namespace that may be among [`RESERVED`].
const FIRST: usize = 3;
/// As long as the API server keeps Events by default.
const WINDOW: Duration = Duration::from_hours(1);

/// What was said of late, by namespace and in all.
#[derive(Debug, Default)]
pub(in crate::worker) struct Budget {
    namespaces: HashMap<Arc<str>, Window>,
    total: Option<Window>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    used: usize,
    /// It was said that there is more.
    is_reported: bool,
}

/// Objects of whose mistakes nothing is said for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::worker) struct LeftOut {
    /// `None`: in several namespaces, because too much was said in all.
    pub(in crate::worker) namespace: Option<Arc<str>>,
    /// How many.
    pub(in crate::worker) objects: usize,
}

impl Window {
    const fn new(now: Instant) -> Self {
        Self {
            begun: now,
            used: 0,
            is_reported: false,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.begun) >= WINDOW
    }
}

impl Budget {
    /// Takes one Event of the namespace, if it may be written.
    pub(super) fn take(&mut self, namespace: &Arc<str>, now: Instant) -> bool {
        self.namespaces.retain(|_, window| !window.is_over(now));
        let total = self.total.get_or_insert_with(|| Window::new(now));
        if total.is_over(now) {
            *total = Window::new(now);
        }
        let own = self
            .namespaces
            .entry(Arc::clone(namespace))
            .or_insert_with(|| Window::new(now));
        let has_room = own.used < NAMESPACE && total.used < bound(own.used);
        if has_room {
            own.used += 1;
            total.used += 1;
        }
        has_room
    }

    /// Of the objects of which something is left to say, those that have to wait: each namespace once an hour.
    pub(in crate::worker) fn left_out(
        &mut self,
        unsaid: Vec<(Arc<str>, usize)>,
        now: Instant,
    ) -> Vec<LeftOut> {
        let (mut others, total) = (0, self.total.as_mut().filter(|total| !total.is_over(now)));
        let in_all = total.as_ref().map_or(0, |total| total.used);
        let mut left_out = Vec::new();
        for (namespace, objects) in unsaid {
            match self.namespaces.get_mut(&namespace) {
                Some(own) if own.used >= NAMESPACE => {
                    if !std::mem::replace(&mut own.is_reported, true) {
                        left_out.push(LeftOut {
                            namespace: Some(namespace),
                            objects,
                        });
                    }
                }
                own => {
                    if in_all >= bound(own.map_or(0, |own| own.used)) {
                        others += objects;
                    }
                }
            }
        }
        if let Some(total) = total
            && others > 0
            && !std::mem::replace(&mut total.is_reported, true)
        {
            left_out.push(LeftOut {
                namespace: None,
                objects: others,
            });
        }
        left_out
    }
}

/// Events in all up to which a namespace of which so many were written may have another one.
const fn bound(used: usize) -> usize {
    if used < FIRST { TOTAL } else { TOTAL - RESERVED }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, namespace: &str, wanted: usize, now: Instant) -> usize {
        let namespace = namespace.into();
        (0..wanted).filter(|_| budget.take(&namespace, now)).count()
    }

    #[test]
    fn a_namespace_and_all_of_them_have_a_bound_an_hour() {
        let (mut budget, begun) = (Budget::default(), Instant::now());
        assert_eq!(taken(&mut budget, "flood", 10_000, begun), NAMESPACE);
        assert_eq!(taken(&mut budget, "calm", 3, begun), 3);
        let others: usize = (0..100)
            .map(|number| taken(&mut budget, &number.to_string(), 10, begun))
            .sum();
        assert_eq!(others, TOTAL - NAMESPACE - 3);
        let later = begun + WINDOW;
        assert_eq!(taken(&mut budget, "flood", 10_000, later), NAMESPACE);
    }

    #[test]
    fn noisy_namespaces_leave_something_for_a_calm_one() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        let noisy: Vec<String> = (0..30).map(|number| format!("noisy-{number}")).collect();
        let mut written = 0;
        for _ in 0..NAMESPACE {
            let turn: usize = noisy.iter().map(|name| taken(&mut budget, name, 1, now)).sum();
            written += turn;
        }
        assert_eq!(written, TOTAL - RESERVED);
        let unsaid = vec![("calm".into(), 1), ("noisy-0".into(), 80)];
        let noisy = LeftOut {
            namespace: None,
            objects: 80,
        };
        assert_eq!(budget.left_out(unsaid, now), [noisy]);
        assert_eq!(taken(&mut budget, "calm", NAMESPACE, now), FIRST);
    }

    #[test]
    fn what_has_to_wait_is_said_once_an_hour() {
        let (mut budget, begun) = (Budget::default(), Instant::now());
        taken(&mut budget, "flood", 100, begun);
        taken(&mut budget, "calm", 1, begun);
        let unsaid = || vec![("calm".into(), 1), ("flood".into(), 80)];
        let flood = LeftOut {
            namespace: Some("flood".into()),
            objects: 80,
        };
        assert_eq!(budget.left_out(unsaid(), begun), std::slice::from_ref(&flood));
        assert_eq!(budget.left_out(unsaid(), begun), []);
        let later = begun + WINDOW;
        taken(&mut budget, "flood", 100, later);
        assert_eq!(budget.left_out(unsaid(), later), [flood]);
    }

    #[test]
    fn many_namespaces_that_have_to_wait_are_one_line() {
        let (mut budget, begun) = (Budget::default(), Instant::now());
        for number in 0..TOTAL {
            taken(&mut budget, &number.to_string(), 1, begun);
        }
        let unsaid = || (0..100).map(|number| (number.to_string().into(), 2)).collect();
        let all = LeftOut {
            namespace: None,
            objects: 200,
        };
        assert_eq!(budget.left_out(unsaid(), begun), [all]);
        assert_eq!(budget.left_out(unsaid(), begun), []);
    }
}
