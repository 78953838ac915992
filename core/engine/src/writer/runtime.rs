//! Where the writer runs.
//!
//! On a file it is one of the engine's tasks: its transactions are hops to a thread that SQLite has anyway. On a server a
//! transaction is a handful of round trips, and on the engine's threads each answer would wait behind hundreds of attempts
//! that are ready to go: the server rests meanwhile, and then the attempts do. There the writer, its connection, its lease
//! and its bell have a thread of their own.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::panic;
use std::sync::Arc;
use std::thread;

use tidings_store::Claimed;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::definitions::Definitions;
use crate::pipeline::Pipeline;

/// The writer's place, and the way from there to the engine's threads.
#[derive(Debug)]
pub(crate) struct WriterRuntime {
    own: Handle,
    /// Where attempts are made.
    engine: Handle,
    /// Dropped, it ends the thread. Whatever lives on it has one of these.
    thread: Option<oneshot::Sender<Infallible>>,
}

impl WriterRuntime {
    /// For a store on a server, or in a file.
    ///
    /// # Errors
    ///
    /// The system has no thread left, or no more descriptors.
    pub(crate) fn new(is_on_server: bool) -> io::Result<Arc<WriterRuntime>> {
        let engine = Handle::current();
        if !is_on_server {
            return Ok(Arc::new(WriterRuntime { own: engine.clone(), engine, thread: None }));
        }
        let (thread, ended) = oneshot::channel::<Infallible>();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // Made where it ends: a runtime may not be dropped on the threads of another.
        let live = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                // Who asked waits for the answer.
                drop(tell.send(Ok(runtime.handle().clone())));
                drop(runtime.block_on(ended));
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        thread::Builder::new().name("writer".to_owned()).spawn(live)?;
        let own = told.recv().map_err(io::Error::other)??;
        Ok(Arc::new(WriterRuntime { own, engine, thread: Some(thread) }))
    }

    pub(crate) fn is_apart(&self) -> bool {
        self.thread.is_some()
    }

    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.own.spawn(work)
    }

    /// Does it there, and waits for it: what it connects belongs to the writer's thread.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.spawn(work).await {
            Ok(done) => done,
            Err(error) => panic::resume_unwind(error.into_panic()),
        }
    }

    /// Sends them on their way. Each task ends by itself: each of its steps has a deadline. What it was about is in the
    /// store.
    pub(crate) fn dispatch(&self, pipeline: &Arc<Pipeline>, definitions: &Arc<Definitions>, claimed: Vec<Claimed>) {
        let (pipeline, definitions) = (Arc::clone(pipeline), Arc::clone(definitions));
        let attempt =
            move |claimed| drop(tokio::spawn(Arc::clone(&pipeline).attempt(Arc::clone(&definitions), claimed)));
        if !self.is_apart() {
            claimed.into_iter().for_each(attempt);
        } else if !claimed.is_empty() {
            // One of the engine's threads deals them out, while the writer begins its next transaction.
            drop(self.engine.spawn(async move { claimed.into_iter().for_each(attempt) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Patience with a thread that is to end.
    const ENDS_WITHIN: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn the_writers_thread_ends_with_the_last_that_lives_on_it_and_not_before() {
        let runtime = WriterRuntime::new(true).unwrap();
        let (says, told) = oneshot::channel::<()>();
        let (ask, asked) = oneshot::channel::<()>();
        let lives_on_it = Arc::clone(&runtime);
        drop(runtime.spawn(async move {
            asked.await.unwrap();
            says.send(()).unwrap();
            drop(lives_on_it);
        }));
        // Stands for what else is left behind on it.
        let (left, ended) = oneshot::channel::<()>();
        drop(runtime.spawn(async move {
            let _left = left;
            std::future::pending::<()>().await;
        }));
        drop(runtime);
        ask.send(()).unwrap();
        told.await.expect("the thread is there as long as somebody has it");
        tokio::time::timeout(ENDS_WITHIN, ended).await.expect("the thread ends").unwrap_err();
    }

    #[tokio::test]
    async fn what_is_done_on_the_writers_thread_is_done_on_no_other() {
        for (is_on_server, name) in [(true, Some("writer")), (false, None)] {
            let runtime = WriterRuntime::new(is_on_server).unwrap();
            let here = thread::current().id();
            let (id, called) =
                runtime.run(async { (thread::current().id(), thread::current().name().map(str::to_owned)) }).await;
            assert_eq!(id == here, !is_on_server);
            assert!(name.is_none() || called.as_deref() == name, "{called:?}");
        }
    }
}
