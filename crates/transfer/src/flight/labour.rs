//! Threads that keep processors busy, and step back behind those that answer requests.

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// How far they step back. With less to do than there are processors nobody feels it.
const STEP: i32 = 5;

/// The threads on which layers are proven, inflated and unpacked. Who has stepped back can't step forward again without rights, and so they do
/// nothing else: they are those of a runtime of their own.
#[derive(Debug)]
pub(super) struct Labour {
    own: Option<Runtime>,
    /// Where the work goes if there is none.
    other: Handle,
}

impl Labour {
    pub(super) fn new(other: Handle) -> Self {
        let step_back = || {
            // On Linux this is about the one thread. Where it isn't allowed, requests are answered a little later.
            let _ = rustix::process::nice(STEP);
        };
        let mut builder = Builder::new_current_thread();
        Self { own: builder.thread_name("layerd-labour").on_thread_start(step_back).build().ok(), other }
    }

    /// Begins a piece of work, which is done to its end whether or not somebody waits for it.
    pub(super) fn begin<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.own.as_ref().map_or(&self.other, Runtime::handle).spawn_blocking(work)
    }
}

impl Drop for Labour {
    fn drop(&mut self) {
        if let Some(runtime) = self.own.take() {
            // Whoever drops this may be a task, which must not wait.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_step() -> i32 {
        // On Linux this is about the one thread, too.
        rustix::process::getpriority_process(None).unwrap()
    }

    #[tokio::test]
    async fn work_steps_back_and_who_asks_for_it_does_not() {
        let before = own_step();
        let labour = Labour::new(Handle::current());
        assert_eq!(labour.begin(own_step).await.unwrap(), (before + STEP).min(19));
        assert_eq!(own_step(), before);
        assert_eq!(tokio::task::spawn_blocking(own_step).await.unwrap(), before);
    }

    #[tokio::test]
    async fn work_that_was_begun_is_done() {
        let labour = Labour::new(Handle::current());
        let (begin, began) = std::sync::mpsc::channel::<()>();
        let work = labour.begin(move || began.recv().is_ok());
        // A task drops it, while the work is at it.
        drop(labour);
        begin.send(()).unwrap();
        assert!(work.await.unwrap());
    }
}
