//! A bounded queue between parts that must not wait and one slow reader, shared fairly by namespaces.
//!
//! Input: items, each about a namespace. Output: the same items, in turns of the namespaces, each namespace's in order;
//! beyond the bounds the oldest are dropped, of the namespace that has most. I/O: none.

mod waiting;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

pub use waiting::{Bounds, Rank, Waiting};

/// Puts items in. Clones share one mailbox.
#[derive(Debug)]
pub struct Sender<T> {
    waiting: Arc<Mutex<Waiting<T>>>,
    /// Holds one signal at most: the reader takes everything that waits at each.
    arrived: mpsc::Sender<()>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            waiting: Arc::clone(&self.waiting),
            arrived: self.arrived.clone(),
        }
    }
}

/// Takes items out.
#[derive(Debug)]
pub struct Receiver<T> {
    waiting: Arc<Mutex<Waiting<T>>>,
    arrived: mpsc::Receiver<()>,
}

/// An empty mailbox.
pub fn mailbox<T>(bounds: Bounds) -> (Sender<T>, Receiver<T>) {
    let waiting = Arc::new(Mutex::new(Waiting::new(bounds)));
    let (sender, receiver) = mpsc::channel(1);
    (
        Sender {
            waiting: Arc::clone(&waiting),
            arrived: sender,
        },
        Receiver {
            waiting,
            arrived: receiver,
        },
    )
}

impl<T> Sender<T> {
    /// Adds an item. Returns the one that was dropped for it, which may be itself.
    #[must_use]
    pub fn send(&self, namespace: &Arc<str>, rank: Rank, item: T) -> Option<T> {
        let dropped = lock(&self.waiting).push(namespace, rank, item);
        // An error means that there is a signal already, or no reader any more.
        let _ = self.arrived.try_send(());
        dropped
    }

    /// Changes the first waiting item of the namespace for which `change` returns true. Returns whether there was one.
    pub fn amend(&self, namespace: &str, change: impl FnMut(&mut T) -> bool) -> bool {
        lock(&self.waiting).amend(namespace, change)
    }
}

impl<T> Receiver<T> {
    /// The next item; `None`: nothing waits, and every sender is gone.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.take() {
                return Some(item);
            }
            if !self.arrived().await {
                return None;
            }
        }
    }

    /// The next item, if there is one.
    pub fn take(&self) -> Option<T> {
        lock(&self.waiting).take()
    }

    /// The next item of the namespaces that may be served now which may itself be taken now.
    pub fn take_where(
        &self,
        may_be_served: impl Fn(&str) -> bool,
        may_be_taken: impl Fn(&T) -> bool,
    ) -> Option<T> {
        lock(&self.waiting).take_where(may_be_served, may_be_taken)
    }

    /// Completes when something was sent since the last time; false: every sender is gone.
    pub async fn arrived(&mut self) -> bool {
        self.arrived.recv().await.is_some()
    }

    /// Puts an item back, in front of what waits of its namespace. Returns the one that was dropped for it.
    #[must_use]
    pub fn put_back(&self, namespace: &Arc<str>, rank: Rank, item: T) -> Option<T> {
        lock(&self.waiting).put_back(namespace, rank, item)
    }

    /// As [`Sender::amend`].
    pub fn amend(&self, namespace: &str, change: impl FnMut(&mut T) -> bool) -> bool {
        lock(&self.waiting).amend(namespace, change)
    }
}

fn lock<T>(waiting: &Mutex<Waiting<T>>) -> MutexGuard<'_, Waiting<T>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_is_taken_although_the_senders_are_gone() {
        let (sender, mut receiver) = mailbox(Bounds {
            namespace: 2,
            total: 3,
        });
        let (a, b) = ("a".into(), "b".into());
        assert_eq!(sender.send(&a, Rank::Usual, 1), None);
        assert_eq!(sender.clone().send(&b, Rank::Usual, 2), None);
        assert!(sender.amend("b", |item| {
            *item = 3;
            true
        }));
        drop(sender);
        assert_eq!(receiver.next().await, Some(1));
        assert_eq!(receiver.put_back(&a, Rank::Usual, 1), None);
        assert_eq!(receiver.next().await, Some(3));
        assert_eq!(receiver.next().await, Some(1));
        assert_eq!(receiver.next().await, None);
    }
}
