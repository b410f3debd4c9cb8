//! What was written about windows, each text parsed once.
//!
//! Input: texts of annotations and of a flag. Output: [`Windows`], or why not. I/O: none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::window::{Windows, WindowsError, Zone};

/// Texts that are remembered at most. More than that are parsed each time that they are asked for, some microseconds each.
const REMEMBERED: usize = 1024;

/// What a text says.
pub type Read = Result<Windows, WindowsError>;

/// The texts of windows.
#[derive(Debug, Default)]
pub struct Texts {
    zone: Zone,
    flag: Option<Read>,
    read: Mutex<HashMap<Box<str>, Arc<Read>>>,
}

impl Texts {
    /// `zone` is that of windows of the list form that name none; `flag` is for all workloads.
    pub fn new(zone: Zone, flag: Option<Windows>) -> Self {
        Self {
            zone,
            flag: flag.map(Ok),
            read: Mutex::default(),
        }
    }

    /// What the flag says.
    pub const fn flag(&self) -> Option<&Read> {
        self.flag.as_ref()
    }

    /// What that text says.
    pub fn read(&self, text: &str) -> Arc<Read> {
        if let Some(known) = self.lock().get(text) {
            return Arc::clone(known);
        }
        let new = Arc::new(Windows::parse(text, &self.zone));
        let mut read = self.lock();
        if read.len() >= REMEMBERED {
            read.clear();
        }
        read.insert(text.into(), Arc::clone(&new));
        drop(read);
        new
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Read>>> {
        // A panic while the lock was held ends the process through supervision; until then the texts are still right.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
