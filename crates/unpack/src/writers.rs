//! Threads that make files for those who read tars.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Something for one of the threads to do. Whoever waits for it must hear of it even when it panics.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// Threads that make small files, shared by all layers that are being unpacked.
///
/// Whoever reads a tar makes its files itself while they are busy. So they bring nothing, and cost nothing, where many layers come at once; and a
/// layer of many files that comes alone, or last, has the processors that nobody else uses.
///
/// A thread is started when there is something for it to do. All of them end when this is dropped, and with what they were given done.
#[derive(Debug)]
pub struct Writers {
    shared: Arc<Shared>,
    /// How many threads there may be, and how many tasks may wait for them.
    limit: usize,
    batch: usize,
}

/// Handing over a batch costs some microseconds, and a file some tens.
const BATCH: usize = 32;

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
    is_over: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("tasks", &self.tasks.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Writers {
    /// At most so many threads. With none, whoever reads a tar makes all of its files.
    pub fn new(limit: usize) -> Self {
        Self { shared: Arc::default(), limit, batch: BATCH }
    }

    /// Has them handed so many files at a time, and not 32.
    #[must_use]
    pub fn by(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Whether a task would be taken now. Another layer may be faster.
    pub(crate) fn have_room(&self) -> bool {
        self.limit > 0 && self.shared.lock().tasks.len() < self.limit
    }

    /// Hands a task over, or gives it back when the threads have enough to do.
    pub(crate) fn offer(&self, task: Task) -> Result<(), Task> {
        let mut state = self.shared.lock();
        if state.tasks.len() >= self.limit {
            return Err(task);
        }
        if state.idle <= state.tasks.len() && state.threads < self.limit {
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new().name("layerd-write".to_owned()).spawn(move || shared.work());
            state.threads += usize::from(started.is_ok());
            if state.threads == 0 {
                return Err(task);
            }
        }
        state.tasks.push_back(task);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                // The thread is there for others, too. The panic itself has been told by then.
                let _ = panic::catch_unwind(AssertUnwindSafe(task));
                state = self.lock();
            } else if state.is_over {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_given_is_done_and_what_is_too_much_comes_back() {
        let writers = Writers::new(1);
        let (done, is_done) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let tell = |what: &'static str| {
            let done = done.clone();
            Box::new(move || done.send(what).unwrap()) as Task
        };
        let first = tell("first");
        let begun = Box::new(move || {
            first();
            wait.recv().unwrap();
        });
        writers.offer(begun).ok().unwrap();
        assert_eq!(is_done.recv().unwrap(), "first");
        // One waits while the thread is busy, and a second may not.
        assert!(writers.have_room());
        writers.offer(tell("second")).ok().unwrap();
        assert!(!writers.have_room());
        let back = writers.offer(tell("third")).err().unwrap();
        // What waits is done even though nothing more can come.
        drop(writers);
        go.send(()).unwrap();
        assert_eq!(is_done.recv().unwrap(), "second");
        back();
        assert_eq!(is_done.recv().unwrap(), "third");
    }

    #[test]
    fn a_panic_costs_one_task() {
        let writers = Writers::new(1);
        writers.offer(Box::new(|| panic!("on purpose"))).ok().unwrap();
        let (done, is_done) = mpsc::channel();
        let mut task: Task = Box::new(move || done.send(()).unwrap());
        while let Err(back) = writers.offer(task) {
            task = back;
            thread::yield_now();
        }
        is_done.recv().unwrap();
    }

    #[test]
    fn without_threads_nothing_is_taken() {
        let writers = Writers::new(0);
        assert!(!writers.have_room() && writers.offer(Box::new(|| {})).is_err());
    }
}
